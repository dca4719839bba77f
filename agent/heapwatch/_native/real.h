/* Finds the functions that we stand in front of.
 *
 * Thread rule: as in native.h.
 */
#ifndef HEAPWATCH_REAL_H
#define HEAPWATCH_REAL_H

#include "library.h"

#define EARLY_BYTES 65536

extern char early[EARLY_BYTES]; /* what is allocated while the functions are being found */
size_t early_size(const void *address);

static inline bool is_early(const void *address)
{
    return unlikely((uintptr_t)address - (uintptr_t)early < EARLY_BYTES);
}

#endif
