/* Turns the tables into Python objects.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_EXPORT_H
#define HEAPWATCH_EXPORT_H

#include <Python.h>

#include "live.h"

#define STACKS_AT_ONCE 64

/* Copies of live samples in a mapping of their own, with `limit` places for each stack asked for. */
struct sample_copies {
    struct sample *samples;
    size_t bytes;
    uint32_t limit;
    uint32_t counts[STACKS_AT_ONCE];
};

/* At most `limit` live samples of each stack, drawn evenly; none of a stack that is gone. False: no memory. Calls
 * nothing that runs Python code, so what it finds is alive until the caller does. */
bool gil_copy_samples(const uint64_t *ids, uint32_t stacks, uint32_t limit, struct sample_copies *copies);
void gil_free_copies(struct sample_copies *copies);

/* The name of a stack under a caller: both numbers, for the same stack may be below several. */
uint64_t gil_stack_id(uint32_t stack, uint32_t caller);

PyObject *gil_export(uint64_t since, bool live, uint32_t own); /* rows but those of the label `own` */
PyObject *gil_totals(bool live, uint32_t own); /* (rows without frames, live bytes of the label left out) */
PyObject *gil_levels(uint32_t own);            /* (what lives of each row as bytes, live bytes of the label left out) */
PyObject *gil_frames_of(uint64_t id);          /* of a stack by its name; () when it is gone */
PyObject *gil_live_samples(uint64_t stack_id, Py_ssize_t limit);
PyObject *gil_stats(void);
PyObject *gil_high_water(void); /* (live bytes, the most since the last call), or None while nothing is sampled */

#endif
