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
#define THREAD_OTHER 0 /* all threads that have no name: ended too soon, or not known to Python */

struct thread {
    uintptr_t identifier; /* of a free number: the next free one */
    PyObject *name;    /* NULL until an export saw the thread alive */
    bool used;
    atomic_bool ended; /* the one field that is written without the GIL */
};

struct threads {
    struct thread all[THREAD_LIMIT];
    uint32_t used; /* numbers ever given */
    uint32_t free; /* first of those given back; 0: none */
};
extern struct threads threads;

bool hook_threads_open(void);
uint32_t hook_thread_number(void);       /* of the current thread, which holds the GIL */
uint32_t hook_thread_known(void);        /* its number, without giving it one; safe without the GIL */
uint32_t hook_label(void);
uint32_t hook_set_label(uint32_t label); /* returns the previous one */
PyObject *hook_thread_give_up(uint32_t thread); /* returns the name, to be dropped */
void hook_threads_forked(void);          /* in the child: only the current thread lives on */

#endif
