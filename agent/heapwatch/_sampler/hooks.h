/* The allocator hooks, and what install.c needs to put them in place.
 *
 * Thread rule: hook_ functions may run inside an allocator; gil_ functions need the GIL and never run there.
 */
#ifndef HEAPWATCH_HOOKS_H
#define HEAPWATCH_HOOKS_H

#include <Python.h>

#include "live.h"

#define COUNTDOWN_NEVER (UINT64_MAX >> 1)

struct hooks {
    uint64_t countdown;                 /* bytes before the next sample point; plain, because the GIL guards it */
    PyMemAllocatorEx real[DOMAIN_COUNT], real_raw;
    uint32_t interval;                  /* that the countdown was drawn with */
    atomic_bool enabled;                /* read without the GIL as well */
    bool pad;                           /* small sampled blocks are asked for as RAW_BACKED bytes */
    bool native;                        /* the C allocator is sampled instead of the RAW domain */
    size_t small[DOMAIN_COUNT];         /* the largest blocks that are counted here; larger ones are below */
    size_t marks;                       /* bytes that debug hooks put before a block counted below; else 0 */
    bool asking;                        /* the next fired malloc is a question of install.c */
    uintptr_t answer;                   /* the block it got; 0: no answer */
    uint32_t max_depth;
    double started;                     /* Unix time of tick 0 */
};
extern struct hooks hooks;

/* True when a sample point lies in the block: the subtraction borrows. */
static inline bool hook_count(size_t size)
{
    return __builtin_sub_overflow(hooks.countdown, (uint64_t)size, &hooks.countdown);
}

/* After that: draws the next distance. The interval that the block is sampled with; 0: it isn't. */
uint32_t hook_rearm(void);
void hook_draw(void); /* the same where the lock is held already */

void hook_functions(enum domain domain, bool watch_frees, PyMemAllocatorEx *functions);
void hook_track_below(void *address, size_t size, uint32_t interval, enum domain domain, uintptr_t caller);
bool hook_untrack(void *address, struct sample *ended);
void hook_restore(const struct sample *ended);
void *hook_kept_on_failure(void *address, const struct sample *ended); /* a failed realloc leaves the old block */
void hook_enter_probe(void *address); /* a live entry that counts nowhere, to see whether its free comes by */

#endif
