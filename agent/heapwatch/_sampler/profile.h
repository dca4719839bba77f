/* Profiles in the pprof format, made from the tables.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_PROFILE_H
#define HEAPWATCH_PROFILE_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

/* New reference to (buffer with the message, what was taken, live bytes of the rows of label `own`). `names` are those
 * of labels. `take`: allocations are those since the last profile that took them, and count as taken.
 * `peak`: instead of all that, what lived when most did. */
PyObject *gil_profile(PyObject *names, uint32_t own, bool take, bool peak);
int gil_profile_give_back(const char *taken, Py_ssize_t size); /* -1 with an exception: these are no such bytes */

#endif
