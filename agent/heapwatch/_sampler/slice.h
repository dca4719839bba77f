/* Long work in slices: other threads get the GIL in between.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_SLICE_H
#define HEAPWATCH_SLICE_H

#include <stdint.h>

struct slice {
    uint64_t began; /* nanoseconds */
    uint32_t steps;
};

void gil_slice_begin(struct slice *slice);

/* Call it after each small step of work. Now and then it lets go of the GIL for a moment, so any Python code may
 * have run when it returns. */
void gil_slice_step(struct slice *slice);

#endif
