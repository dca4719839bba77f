/* Turns the tables into Python objects, and tidies them at the same safe point.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_EXPORT_H
#define HEAPWATCH_EXPORT_H

#include <Python.h>

PyObject *gil_export(uint64_t since);
PyObject *gil_live_samples(uint64_t stack_id, Py_ssize_t limit);
PyObject *gil_stats(void);

#endif
