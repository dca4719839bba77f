/* Shows how long blocks lived, and how old those are that live.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_AGES_H
#define HEAPWATCH_AGES_H

#include <Python.h>

#include <stdint.h>

/* Of the stacks with these ids; of all where `ids` is NULL. New reference; NULL with an exception set. */
PyObject *gil_lifetimes(const uint64_t *ids, Py_ssize_t count);

#endif
