/* The names of threads, read from Python's threading module.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_THREAD_NAMES_H
#define HEAPWATCH_THREAD_NAMES_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

int gil_threads_name(void);                 /* reads the names of living threads; -1 with an exception set */
PyObject *gil_thread_name(uint32_t thread); /* new reference */

/* Makes each name that of one thread number only: rows of threads of equal name are joined, and rows of threads
 * without a name (when `crowded`, also of those that have ended) go to "(other threads)". Frees their numbers. */
void gil_threads_fold(bool crowded);

#endif
