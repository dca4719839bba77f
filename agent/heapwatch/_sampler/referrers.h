/* Which objects refer to others.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_REFERRERS_H
#define HEAPWATCH_REFERRERS_H

#include <Python.h>

/* New reference to a list of what the garbage collector tracks in a generation, without tuples. */
PyObject *gil_containers(int generation);

/* New reference to ([(holder, number of the target, references), ...], where it stopped). */
PyObject *gil_referrers(PyObject *heap, Py_ssize_t begin, Py_ssize_t end, PyObject *targets);

/* New reference to ([(holder, number of the target, references), ...], the last one looked at or None at the end).
 * Looks at `count` frozen objects behind `after`, or from the first one if that is None. */
PyObject *gil_frozen_referrers(PyObject *after, Py_ssize_t count, PyObject *targets);

#endif
