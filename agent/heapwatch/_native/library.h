/* The parts of the preloaded library: the counting that every entry shares, and the functions behind.
 *
 * Thread rule: as in native.h.
 */
#ifndef HEAPWATCH_LIBRARY_H
#define HEAPWATCH_LIBRARY_H

#include "native.h"

#include <errno.h>
#include <sys/types.h>

#define EXPORT __attribute__((visibility("default")))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define CALLER __builtin_return_address(0)

/* The functions we stand in front of: the C library's, or those of another allocator preloaded beside us. */
struct real {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    void *(*memalign)(size_t, size_t);
    void *(*valloc)(size_t);
    void *(*pvalloc)(size_t);
    void *(*mmap)(void *, size_t, int, int, int, off_t);
    int (*munmap)(void *, size_t);
    void *(*mremap)(void *, size_t, size_t, int, void *);
};
extern struct real real;

extern struct native_library library;
extern __thread struct native_thread self __attribute__((tls_model("initial-exec")));

/* Whether `size` more bytes reach this thread's next sample point, or nobody knows yet where that is. */
static inline bool due(size_t size)
{
    uint32_t epoch = atomic_load_explicit(&library.epoch, memory_order_relaxed);
    return epoch && countdown_due(&self, epoch, size);
}

/* The sampler, when `address` may be a sampled block; else NULL. */
static inline const struct native_sampler *maybe_sampled(const void *address)
{
    const struct native_sampler *sampler = atomic_load_explicit(&library.sampler, memory_order_acquire);
    return sampler && unlikely(native_maybe(sampler->filter, address)) ? sampler : NULL;
}

uint32_t take(size_t size); /* when due(): the interval the block is sampled with; 0: it isn't */
void begin(void *address, size_t size, uint32_t interval, const void *caller, bool mapping);
bool end(const struct native_sampler *sampler, void *address, struct native_ended *ended);
void restore(const struct native_sampler *sampler, const struct native_ended *ended);

#endif
