/* From sampled blocks back to Python objects.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_OBJECTS_H
#define HEAPWATCH_OBJECTS_H

#include <Python.h>

/* `budget`: seconds after which the search returns what it has. */
PyObject *gil_objects(uint64_t stack_id, Py_ssize_t limit, double budget);

#endif
