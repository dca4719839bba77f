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

#endif
