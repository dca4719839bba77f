/* How many objects of which type there are, and how large they are.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_CENSUS_H
#define HEAPWATCH_CENSUS_H

#include "walk.h"

/* New reference to [(type, objects, bytes, variance of objects, variance of bytes), ...] of a step, in which every
 * `stride`-th object on average was looked at and stands for `stride` of them. */
PyObject *gil_census(struct walk *walk, uint32_t stride, double seconds);

#endif
