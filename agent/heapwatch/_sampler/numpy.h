/* Finds numpy's data allocator.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_NUMPY_H
#define HEAPWATCH_NUMPY_H

#include <Python.h>

#include <stdbool.h>

/* From numpy's table of C functions (a capsule) on, or without a change: "" when the buffers of arrays are
 * counted, else why they aren't. */
const char *gil_watch_arrays(PyObject *table);
bool gil_is_array(PyObject *object);

#endif
