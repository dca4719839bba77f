/* What the preloaded library and the sampler say to each other.
 *
 * The library stands between the process and its C allocator from before main(). It knows nothing of tables:
 * it counts bytes down, and asks the sampler when a sample point was hit or when a block that may be sampled
 * ends. Until a sampler attaches itself, it passes everything on.
 *
 * Thread rule: everything here may be called from any thread, with or without the GIL, inside any allocation.
 */
#ifndef HEAPWATCH_NATIVE_H
#define HEAPWATCH_NATIVE_H

#include "countdown.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NATIVE_SYMBOL "heapwatch_native_1"
#define NATIVE_NEVER ((uint64_t)1 << 62)

static inline uint64_t native_hash(const void *address)
{
    return (uint64_t)((uintptr_t)address >> 4) * 0x9e3779b97f4a7c15u;
}

/* Heads of the sampler's hash chains, as one word: address of the array | bits that a hash is shifted by.
 * False: the block is certainly not sampled. Lock-free; see hook_live_maybe() for why that is safe. */
static inline bool native_maybe(const _Atomic uintptr_t *filter, const void *address)
{
    uintptr_t heads = atomic_load_explicit(filter, memory_order_acquire);
    const uint32_t *head = (const uint32_t *)(heads & ~(uintptr_t)63) + (native_hash(address) >> (heads & 63));
    return __atomic_load_n(head, __ATOMIC_RELAXED) != 0;
}

/* A sample that was taken out of the table, as the sampler keeps it. */
struct native_ended {
    _Alignas(8) char sample[40];
};

/* What the library asks of the sampler. None of it calls an allocator. */
struct native_sampler {
    const _Atomic uintptr_t *filter;
    native_gap *gap;
    void (*begin)(void *address, size_t size, uint32_t interval, const void *caller, bool mapping);
    bool (*end)(void *address, struct native_ended *ended); /* false: was not sampled */
    void (*restore)(const struct native_ended *ended);      /* the block lives on: its realloc failed */
};

/* What the library offers the sampler. */
struct native_library {
    _Atomic(const struct native_sampler *) sampler; /* set once, never taken back */
    _Atomic uint32_t epoch; /* 0: no sampler yet. Each change makes every thread draw anew */
    struct native_thread *(*thread)(void);
    void *(*real_malloc)(size_t); /* as it was found: code of the allocator, not of the library */
};

#endif
