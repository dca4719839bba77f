/* From sampled blocks back to Python objects.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_OBJECTS_H
#define HEAPWATCH_OBJECTS_H

#include "walk.h"

/* A search for at most `limit` objects of each stack in a list of ids; NULL with an exception set. */
struct search *gil_search_open(PyObject *stacks, Py_ssize_t limit);
void gil_search_close(struct search *search); /* NULL is none */

/* New reference to [(number of the stack, object), ...] found in a step of the walk. */
PyObject *gil_search_step(struct walk *walk, double seconds);

#endif
