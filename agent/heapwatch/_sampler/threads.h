/* Which thread a sample belongs to, and the label (endpoint) it runs under.
 *
 * Thread rule: hook_ functions are safe in hooks; gil_ functions need the GIL.
 */
#ifndef HEAPWATCH_THREADS_H
#define HEAPWATCH_THREADS_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

#define THREAD_LIMIT 4096
#define THREAD_OTHER 0 /* the thread table was full, or the thread isn't Python's */

bool hook_threads_open(void);
uint32_t hook_thread_number(void); /* of the current thread, which holds the GIL */
uint32_t hook_label(void);
uint32_t hook_set_label(uint32_t label); /* returns the previous one */
void hook_threads_forked(void);          /* in the child: only the current thread lives on */

int gil_threads_name(void);                   /* reads the names of living threads; -1 with an exception set */
PyObject *gil_thread_name(uint32_t thread);   /* new reference */
void gil_threads_recycle(const uint8_t *in_use); /* frees numbers of ended threads that no row needs */

#endif
