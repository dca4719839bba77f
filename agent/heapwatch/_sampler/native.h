/* Sampling below Python's allocators, where there may be no GIL: what the RAW domain's hooks and those of the
 * preloaded library share, and whether there is a library.
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
    _Atomic uint32_t epoch;         /* where there is no library: that of the RAW domain's countdowns */
    _Atomic uintptr_t prober;       /* thread whose allocations below are noted instead of sampled; 0: none */
    struct {
        uintptr_t address;
        size_t size;
    } seen[SEEN_LIMIT];             /* the last that the prober made */
    uint32_t seen_count;
};
extern struct native native;
extern const struct native_sampler hook_native_sampler;

extern __thread struct native_thread raw_thread __attribute__((tls_model("initial-exec")));

/* While it is above zero nothing that this thread allocates below is sampled. */
static inline int *hook_guard(void)
{
    return native.library ? &native.library->thread()->guard : &raw_thread.guard;
}

native_gap hook_native_gap;
bool hook_noted(void *address, size_t size); /* a block for the prober, which isn't sampled */
bool hook_interrupted(void);                 /* this is a signal handler amid a change of the tables: a loss is counted */
void hook_draw_anew(void);                   /* each thread takes up the present interval at its next allocation */

#endif
