/* A walk over all objects that the garbage collector tracks, the frozen ones included, in steps of limited time.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_WALK_H
#define HEAPWATCH_WALK_H

#include "layout.h"

#include <stdbool.h>
#include <stdint.h>

struct search;

struct walk {
    PyObject_HEAD
    int list;              /* of the collector's lists the one under way */
    bool started, done;
    Py_ssize_t seen;
    Py_ssize_t full_collections; /* of the process when the last list but one was begun */
    struct search *search; /* what to look for as it goes; NULL: nothing */
};

struct step {
    struct walk *walk;
    struct _gc_runtime_state *gc;
    PyGC_Head *at; /* the last one looked at, or the head of a list */
    double deadline;
    uint32_t looked;
};

int gil_walk_open(PyObject *module);

/* A step. Between its begin and its end nothing may run that allocates from Python or frees an object. */
void gil_step_begin(struct step *step, struct walk *walk, double seconds);
PyObject *gil_step_next(struct step *step); /* borrowed; NULL when the time is over or the walk is done */
void gil_step_end(struct step *step);

#endif
