/* The hooks of the RAW domain: what C code asks of PyMem_RawMalloc (zlib's state, locks, thread states), and
 * every block of OBJ and MEM that pymalloc doesn't serve from its arenas.
 *
 * They count as the preloaded library of native mode does, with a countdown of each thread. A thread that holds
 * the GIL runs Python code, so the block gets its stack; any other block is put under a frame named "[raw]".
 *
 * Thread rule: any thread, with or without the GIL and a thread state, before Python starts and after it has
 * ended. Calls nothing of Python beyond the plain reads of trace.c. The table lock isn't held across a call to
 * an allocator. errno is the host's.
 */
#include "raw.h"

#include "asserts.h"
#include "hooks.h"
#include "lock.h"
#include "native.h"

#include <errno.h>

#define real (hooks.real_raw)

__thread struct native_thread raw_thread __attribute__((tls_model("initial-exec")));

static inline bool raw_due(size_t size)
{
    return countdown_due(&raw_thread, atomic_load_explicit(&native.epoch, memory_order_relaxed), size);
}

static uint32_t hook_raw_take(size_t size)
{
    int host_errno = errno;
    /* Acquire: whoever sees the epoch of a start must see that the sampler is on, or it would never draw again. */
    uint32_t epoch = atomic_load_explicit(&native.epoch, memory_order_acquire);
    uint32_t interval = countdown_take(&raw_thread, epoch, hook_native_gap, size);
    errno = host_errno;
    return interval;
}

/* Enters a block that was just allocated. */
static void *hook_raw_begin(void *address, size_t size, uint32_t interval)
{
    if (!address || !interval || hook_noted(address, size) || !hooks.enabled || hook_interrupted())
        return address;
    ASSERT_UNLOCKED();
    int host_errno = errno;
    raw_thread.guard++;
    hook_track_below(address, size, interval, DOMAIN_RAW, 0);
    raw_thread.guard--;
    errno = host_errno;
    return address;
}

/* --- when the countdown has passed: apart and never inlined, so that the ordinary path needs no stack frame ----- */

static __attribute__((noinline)) void *hook_raw_malloc_due(void *context, size_t size)
{
    uint32_t interval = hook_raw_take(size);
    return hook_raw_begin(real.malloc(context, size), size, interval);
}

static __attribute__((noinline)) void *hook_raw_calloc_due(void *context, size_t count, size_t each)
{
    size_t size;
    uint32_t interval = __builtin_mul_overflow(count, each, &size) ? 0 : hook_raw_take(size);
    return hook_raw_begin(real.calloc(context, count, each), size, interval);
}

static __attribute__((noinline)) void *hook_raw_realloc_due(void *context, void *old, size_t size, bool due)
{
    struct sample ended;
    uint32_t interval = due ? hook_raw_take(size) : 0;
    bool was_sampled = hook_live_maybe(old) && !hook_interrupted() && hook_untrack(old, &ended);
    void *address = real.realloc(context, old, size);
    if (was_sampled)
        hook_kept_on_failure(address, &ended);
    return hook_raw_begin(address, size, interval);
}

static __attribute__((noinline)) void hook_raw_free_tracked(void *context, void *address)
{
    if (!hook_interrupted())
        hook_untrack(address, NULL);
    real.free(context, address);
}

/* --- what Python calls ------------------------------------------------------------------------------------- */

static void *hook_raw_malloc(void *context, size_t size)
{
    if (unlikely(raw_due(size)))
        return hook_raw_malloc_due(context, size);
    return real.malloc(context, size);
}

static void *hook_raw_calloc(void *context, size_t count, size_t each)
{
    if (unlikely(raw_due(count * each)))
        return hook_raw_calloc_due(context, count, each);
    return real.calloc(context, count, each);
}

/* A realloc is a fresh draw of its whole new size; see estimate.h. */
static void *hook_raw_realloc(void *context, void *old, size_t size)
{
    bool due = raw_due(size);
    if (unlikely(due || hook_live_maybe(old)))
        return hook_raw_realloc_due(context, old, size, due);
    return real.realloc(context, old, size);
}

static void *hook_raw_realloc_uncounted(void *context, void *old, size_t size)
{
    if (unlikely(hook_live_maybe(old)))
        return hook_raw_realloc_due(context, old, size, false);
    return real.realloc(context, old, size);
}

static void hook_raw_free(void *context, void *address)
{
    if (unlikely(hook_live_maybe(address)))
        hook_raw_free_tracked(context, address);
    else
        real.free(context, address);
}

void hook_raw_functions(bool count, PyMemAllocatorEx *functions)
{
    functions->realloc = hook_raw_realloc_uncounted;
    functions->free = hook_raw_free;
    if (!count)
        return;
    functions->malloc = hook_raw_malloc;
    functions->calloc = hook_raw_calloc;
    functions->realloc = hook_raw_realloc;
}
