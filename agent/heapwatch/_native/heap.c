/* The C allocator's functions as the process calls them.
 *
 * The ordinary path is one compare, one subtraction of a thread-local, and a jump to the real function. A block
 * is entered after it was allocated and before the caller has it; it is taken out before it is freed, for
 * afterwards another thread may get its address at once.
 *
 * Thread rule: as in native.h; called by anybody at any time. The real functions set errno, nothing else does.
 */
#define _GNU_SOURCE
#include "real.h"

#include <string.h>

/* --- blocks that a sample point fell into; apart and never inlined, so that the others need no frame ------- */

/* The block, entered when it is there and is to be sampled. */
static void *entered(void *address, size_t size, uint32_t interval, const void *caller)
{
    if (interval && address)
        begin(address, size, interval, caller, false);
    return address;
}

static __attribute__((noinline)) void *malloc_due(size_t size, const void *caller)
{
    uint32_t interval = take(size);
    return entered(real.malloc(size), size, interval, caller);
}

static __attribute__((noinline)) void *calloc_due(size_t count, size_t each, const void *caller)
{
    size_t size;
    uint32_t interval = __builtin_mul_overflow(count, each, &size) ? 0 : take(size);
    return entered(real.calloc(count, each), size, interval, caller);
}

static void *move_early(void *old, size_t size)
{
    void *moved = real.malloc(size);
    if (moved)
        memcpy(moved, old, early_size(old) < size ? early_size(old) : size);
    return moved;
}

/* The new size is a fresh draw, whatever became of the old one; see estimate.h. */
static __attribute__((noinline)) void *realloc_due(void *old, size_t size, bool is_due, const void *caller)
{
    if (is_early(old))
        return move_early(old, size);
    struct native_ended ended;
    uint32_t interval = is_due ? take(size) : 0;
    const struct native_sampler *sampler = maybe_sampled(old);
    bool was_sampled = sampler && old && end(sampler, old, &ended);
    void *address = entered(real.realloc(old, size), size, interval, caller);
    if (was_sampled && !address && size)
        restore(sampler, &ended);
    return address;
}

static void *aligned_due(void *(*allocate)(size_t, size_t), size_t alignment, size_t size, const void *caller)
{
    uint32_t interval = take(size);
    return entered(allocate(alignment, size), size, interval, caller);
}

static void *paged_due(void *(*allocate)(size_t), size_t size, const void *caller)
{
    uint32_t interval = take(size);
    return entered(allocate(size), size, interval, caller);
}

static __attribute__((noinline)) void free_maybe_sampled(const struct native_sampler *sampler, void *address)
{
    struct native_ended unused;
    end(sampler, address, &unused);
    real.free(address);
}

/* --- what the process calls ------------------------------------------------------------------------------- */

EXPORT void *malloc(size_t size)
{
    if (unlikely(due(size)))
        return malloc_due(size, CALLER);
    return real.malloc(size);
}

EXPORT void *calloc(size_t count, size_t each)
{
    size_t size;
    if (likely(!__builtin_mul_overflow(count, each, &size)) && unlikely(due(size)))
        return calloc_due(count, each, CALLER);
    return real.calloc(count, each);
}

static inline void *resize(void *old, size_t size, const void *caller)
{
    bool is_due = due(size);
    if (unlikely(is_due || is_early(old) || maybe_sampled(old)))
        return realloc_due(old, size, is_due, caller);
    return real.realloc(old, size);
}

EXPORT void *realloc(void *old, size_t size)
{
    return resize(old, size, CALLER);
}

EXPORT void *reallocarray(void *old, size_t count, size_t each)
{
    size_t size;
    if (__builtin_mul_overflow(count, each, &size)) {
        errno = ENOMEM;
        return NULL;
    }
    return resize(old, size, CALLER);
}

EXPORT void free(void *address)
{
    const struct native_sampler *sampler = maybe_sampled(address);
    if (is_early(address))
        return;
    if (unlikely(sampler != NULL))
        free_maybe_sampled(sampler, address);
    else
        real.free(address);
}

EXPORT int posix_memalign(void **address, size_t alignment, size_t size)
{
    uint32_t interval = unlikely(due(size)) ? take(size) : 0;
    int error = real.posix_memalign(address, alignment, size);
    if (unlikely(interval && !error))
        entered(*address, size, interval, CALLER);
    return error;
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    return unlikely(due(size)) ? aligned_due(real.aligned_alloc, alignment, size, CALLER)
                               : real.aligned_alloc(alignment, size);
}

EXPORT void *memalign(size_t alignment, size_t size)
{
    return unlikely(due(size)) ? aligned_due(real.memalign, alignment, size, CALLER) : real.memalign(alignment, size);
}

EXPORT void *valloc(size_t size)
{
    return unlikely(due(size)) ? paged_due(real.valloc, size, CALLER) : real.valloc(size);
}

EXPORT void *pvalloc(size_t size)
{
    return unlikely(due(size)) ? paged_due(real.pvalloc, size, CALLER) : real.pvalloc(size);
}
