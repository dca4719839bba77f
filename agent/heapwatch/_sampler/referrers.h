/* Which of all objects refer to some others.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_REFERRERS_H
#define HEAPWATCH_REFERRERS_H

#include "walk.h"

/* New reference to [(holder, number of the target, references), ...] of a step; stops early when very many are found. */
PyObject *gil_referrers(struct walk *walk, PyObject *targets, double seconds);

#endif
