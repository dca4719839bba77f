/* Which thread a sample belongs to, and the label (endpoint) it runs under.
 *
 * Thread rule: safe in hooks that hold the GIL.
 */
#ifndef HEAPWATCH_THREADS_H
#define HEAPWATCH_THREADS_H

#include <Python.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define THREAD_LIMIT 4096
#define THREAD_OTHER 0 /* the thread table was full, or the thread isn't Python's */

struct thread {
    uintptr_t identifier;
    PyObject *name;    /* NULL until an export saw the thread alive */
    bool used;
    atomic_bool ended; /* the one field that is written without the GIL */
};

struct threads {
    struct thread all[THREAD_LIMIT];
    uint32_t used;
};
extern struct threads threads;

bool hook_threads_open(void);
uint32_t hook_thread_number(void);       /* of the current thread, which holds the GIL */
uint32_t hook_label(void);
uint32_t hook_set_label(uint32_t label); /* returns the previous one */
void hook_threads_forked(void);          /* in the child: only the current thread lives on */

#endif
