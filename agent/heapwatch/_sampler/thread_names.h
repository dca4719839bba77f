/* The names of threads, read from Python's threading module.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_THREAD_NAMES_H
#define HEAPWATCH_THREAD_NAMES_H

#include <Python.h>

#include <stdint.h>

int gil_threads_name(void);                      /* reads the names of living threads; -1 with an exception set */
PyObject *gil_thread_name(uint32_t thread);      /* new reference */
void gil_threads_recycle(const uint8_t *in_use); /* frees numbers of ended threads that no row needs */

#endif
