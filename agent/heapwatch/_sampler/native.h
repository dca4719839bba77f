/* The sampler's side of native mode: what the preloaded library calls, and whether there is one.
 *
 * Thread rule: hook_ functions run in any thread, with or without the GIL, inside any allocation.
 */
#ifndef HEAPWATCH_SAMPLER_NATIVE_H
#define HEAPWATCH_SAMPLER_NATIVE_H

#include "../_native/native.h"
#include "modules.h"

#define SEEN_LIMIT 8

struct native {
    struct native_library *library; /* NULL: not preloaded */
    struct module interpreter, ours;
    struct module allocator;        /* when it isn't the C library */
    struct native_thread none;      /* in place of a thread's part where there is no library */
    _Atomic uintptr_t prober;       /* thread whose C allocations are noted instead of sampled; 0: none */
    struct {
        uintptr_t address;
        size_t size;
    } seen[SEEN_LIMIT];             /* the last that the prober made */
    uint32_t seen_count;
};
extern struct native native;
extern const struct native_sampler hook_native_sampler;

/* While it is above zero this thread's C allocations aren't sampled. */
static inline int *hook_guard(void)
{
    return native.library ? &native.library->thread()->guard : &native.none.guard;
}

void hook_native_draw_anew(void); /* each thread takes up the present interval at its next allocation */

#endif
