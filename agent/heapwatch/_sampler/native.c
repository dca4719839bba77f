/* The sampler's side of native mode: what the preloaded library calls.
 *
 * The same tables and estimator as for Python's domains, one more domain. What differs: there may be no GIL, so
 * no Python stack; there may be a signal handler in the middle of a change of the tables, so that is asked first.
 * The Python stack is taken when this thread holds the GIL, and besides it the native code that called.
 *
 * Thread rule: any thread, with or without the GIL, inside any allocation. Calls no allocator and nothing of
 * Python's API beyond the plain reads of trace.c.
 */
#include "native.h"

#include "hooks.h"
#include "lock.h"

#include <string.h>

#define ARENA_BYTES (1u << 20) /* of pymalloc; the interpreter maps nothing larger for itself */

struct native native;

_Static_assert(sizeof(struct sample) <= sizeof(struct native_ended), "a sample must fit the library's copy");

static bool probing(void)
{
    return atomic_load_explicit(&native.prober, memory_order_relaxed) == (uintptr_t)pthread_self();
}

bool hook_noted(void *address, size_t size)
{
    if (!probing())
        return false;
    native.seen[native.seen_count % SEEN_LIMIT].address = (uintptr_t)address;
    native.seen[native.seen_count++ % SEEN_LIMIT].size = size;
    return true;
}

bool hook_interrupted(void)
{
    if (!hook_lock_interrupted())
        return false;
    atomic_fetch_add_explicit(&hook_lock_refused, 1, memory_order_relaxed);
    return true;
}

uint64_t hook_native_gap(uint32_t *interval)
{
    *interval = 1;
    if (probing())
        return 1;
    if (hook_interrupted())
        return 0;
    if (!hooks.enabled)
        return NATIVE_NEVER;
    bool taken;
    if (!hook_lock_in_time(&taken))
        return 0;
    *interval = live.interval;
    uint64_t gap = (uint64_t)hook_random_gap(&live.random, live.interval);
    hook_unlock(taken);
    return gap;
}

/* Mappings of pymalloc's arenas hold what its own domains count; those of another allocator in front of the C
 * library's hold what its malloc was asked for. */
static bool counted_elsewhere(size_t size, uintptr_t caller)
{
    return (size <= ARENA_BYTES && in_module(&native.interpreter, caller)) || in_module(&native.allocator, caller);
}

static void hook_native_begin(void *address, size_t size, uint32_t interval, const void *caller, bool mapping)
{
    if (hook_noted(address, size))
        return;
    if (!hooks.enabled || (mapping && counted_elsewhere(size, (uintptr_t)caller)) || hook_interrupted())
        return;
    hook_track_below(address, size, interval, DOMAIN_MALLOC, (uintptr_t)caller);
}

static bool hook_native_end(void *address, struct native_ended *ended)
{
    struct sample sample;
    if (hook_interrupted() || !hook_untrack(address, &sample))
        return false;
    memcpy(ended->sample, &sample, sizeof sample);
    return true;
}

static void hook_native_restore(const struct native_ended *ended)
{
    struct sample sample;
    if (hook_interrupted())
        return;
    memcpy(&sample, ended->sample, sizeof sample);
    hook_restore(&sample);
}

const struct native_sampler hook_native_sampler = {
    .filter = &live_heads,
    .gap = hook_native_gap,
    .begin = hook_native_begin,
    .end = hook_native_end,
    .restore = hook_native_restore,
};

void hook_draw_anew(void)
{
    _Atomic uint32_t *epoch = native.library ? &native.library->epoch : &native.epoch;
    if (atomic_fetch_add_explicit(epoch, 1, memory_order_release) == UINT32_MAX)
        atomic_fetch_add_explicit(epoch, 1, memory_order_release); /* 0 is where new threads are */
}
