/* The allocator hooks: the only code of the sampler that runs inside the host's allocations.
 *
 * Cost. The OBJ and MEM hooks subtract the size from a countdown, branch, and jump to the original function.
 * Their free is the original itself. When the countdown passes zero on a small block, the original is asked
 * for at least 513 bytes: pymalloc passes that on to the RAW domain, and so do the block's free and realloc,
 * which come by our RAW hooks; those read one word (hook_live_maybe) and jump on. The block stays an ordinary
 * one, so nothing breaks if a free is missed. Where allocators are stacked so that this doesn't hold
 * (PYTHONMALLOC=malloc or debug), the probe at the start notices, and each free of OBJ and MEM is hooked.
 *
 * Each block is counted once. What pymalloc passes on is counted below it: by our RAW hooks (raw.c), or in
 * native mode (native.c) by those of the C allocator. So blocks above hooks.small bytes take part in the
 * countdown but are let pass when it fires: points of a Poisson process that fall into them are simply not
 * looked at, which changes nothing for other blocks, and costs the ordinary path no comparison. A padded block
 * and one that a realloc shrinks would be counted below as well; the guard is up while the original serves them.
 *
 * Thread rule: hook_obj_* and hook_mem_* run under the GIL (if a careless extension calls without it, the
 * block is counted without a stack). hook_raw_* run without it. None may call Python's API: it could allocate
 * again, collect garbage while a container is half moved, run finalizers or switch threads. None may hold the
 * table lock across a call to an allocator: the original may come back through another hook of ours. The one
 * exception is reading the current thread state, which is a plain read.
 *
 * Publishing. A struct handed to PyMem_SetAllocator differs from the one in place only in function pointers;
 * the context stays, and hooks pass it through. So a thread without the GIL that reads the struct while it is
 * being copied sees old or new functions with the right context, never a mixture that matters.
 */
#include "hooks.h"

#include "asserts.h"
#include "callers.h"
#include "context.h"
#include "lifetimes.h"
#include "live.h"
#include "lock.h"
#include "native.h"
#include "threads.h"
#include "trace.h"

#include <string.h>


struct hooks hooks = {.countdown = COUNTDOWN_NEVER};
_Atomic uintptr_t hook_lock_owner;
atomic_bool hook_forking;
_Atomic uint64_t hook_lock_refused;

static struct trace trace; /* too large for a stack that may be nearly used up; the GIL guards it */

#define real (hooks.real)
#define countdown (hooks.countdown)

/* --- when the countdown has passed ---------------------------------------------------------------- */

void hook_draw(void)
{
    hooks.interval = live.interval;
    countdown = (uint64_t)hook_random_gap(&live.random, live.interval) - 1;
}

uint32_t hook_rearm(void)
{
    uint32_t interval = hooks.interval;
    if (!hooks.enabled) {
        countdown = COUNTDOWN_NEVER;
        return 0;
    }
    bool taken;
    if (!hook_lock_in_time(&taken)) {
        countdown = 0; /* try again */
        return 0;
    }
    hook_draw();
    hook_unlock(taken);
    return interval;
}

/* Under the table lock. */
static void hook_enter(struct sample *sample)
{
    sample->generation = live.generation & 0xffff;
    sample->birth = hook_tick();
    hook_live_insert(sample);
}

/* Enters a block that was just allocated. */
static void hook_track(void *address, size_t size, uint32_t interval, enum domain domain)
{
    uint32_t stack = STACK_NONE, thread = THREAD_OTHER;
    bool python = hook_trace(&trace, hooks.max_depth);
    if (python) {
        stack = hook_stack_find(&trace);
        thread = hook_thread_number();
    }
    struct work work = hook_work(python);
    bool taken;
    if (!hook_lock_in_time(&taken))
        return;
    struct sample sample = {.row = hook_row_find(stack, 0, work.label, thread), .scope = work.scope,
                            .address = (uintptr_t)address, .size = size, .domain = domain, .interval = interval};
    hook_enter(&sample);
    hook_unlock(taken);
}

/* The same for a block that may be asked for without the GIL: of the RAW domain, or of the C allocator, where
 * `caller` is the code that asked. What the interpreter asks for is told by the Python stack alone. */
void hook_track_below(void *address, size_t size, uint32_t interval, enum domain domain, uintptr_t caller)
{
    uint32_t stack = caller ? STACK_NONE : STACK_RAW, thread = hook_thread_known();
    bool told = !caller, python = hook_holds_gil() && hook_trace(&trace, hooks.max_depth);
    if (python) {
        stack = hook_stack_find(&trace);
        thread = hook_thread_number();
        told |= stack != STACK_NONE && (in_module(&native.interpreter, caller) || in_module(&native.ours, caller));
    }
    struct work work = hook_work(python);
    bool taken;
    if (!hook_lock_in_time(&taken))
        return;
    uint32_t number = told ? 0 : hook_caller_find(caller);
    struct sample sample = {.row = hook_row_find(stack, number, work.label, thread), .scope = work.scope,
                            .address = (uintptr_t)address, .size = size < SIZE_MOST ? size : SIZE_MOST,
                            .domain = domain, .interval = interval};
    hook_enter(&sample);
    hook_unlock(taken);
}

/* False: an empty block, or one that is counted below. */
static bool hook_owns(size_t size, enum domain domain)
{
    return size && size <= hooks.small[domain];
}

static size_t hook_padded(size_t size)
{
    return hooks.pad && size < RAW_BACKED ? RAW_BACKED : size;
}

/* The answer to "does malloc still come by here?": the block is entered, so that its free is seen as well. */
static void *hook_answer(void *context, size_t size, enum domain domain)
{
    hooks.asking = false;
    countdown = COUNTDOWN_NEVER; /* install.c restores it; what wrappers above us allocate meanwhile isn't sampled */
    void *address = real[domain].malloc(context, size);
    if (address)
        hook_enter_probe(address);
    hooks.answer = (uintptr_t)address;
    return address;
}

static __attribute__((noinline)) void *hook_sample_malloc(void *context, size_t size, enum domain domain)
{
    if (unlikely(hooks.asking))
        return hook_answer(context, size, domain);
    uint32_t interval = hook_rearm();
    if (!interval || !hook_owns(size, domain))
        return real[domain].malloc(context, size);
    ASSERT_UNLOCKED();
    int *guard = hook_guard();
    ++*guard;
    void *address = real[domain].malloc(context, hook_padded(size));
    if (address)
        hook_track(address, size, interval, domain);
    else
        address = real[domain].malloc(context, size);
    --*guard;
    return address;
}

static __attribute__((noinline)) void *hook_sample_calloc(void *context, size_t count, size_t each, enum domain domain)
{
    size_t size;
    uint32_t interval = hook_rearm();
    if (!interval || __builtin_mul_overflow(count, each, &size) || !hook_owns(size, domain))
        return real[domain].calloc(context, count, each);
    ASSERT_UNLOCKED();
    int *guard = hook_guard();
    ++*guard;
    void *address = real[domain].calloc(context, 1, hook_padded(size));
    if (address)
        hook_track(address, size, interval, domain);
    else
        address = real[domain].calloc(context, count, each);
    --*guard;
    return address;
}

/* The old block's sample, if any, was ended by the function below us that really moves the block. A small new
 * size is asked for padded in one step: the original keeps what both sizes share. The guard is up. */
static __attribute__((noinline)) void *hook_sample_realloc(void *context, void *old, size_t size, enum domain domain)
{
    uint32_t interval = hook_rearm();
    if (!interval || !hook_owns(size, domain))
        return real[domain].realloc(context, old, size);
    ASSERT_UNLOCKED();
    void *address = real[domain].realloc(context, old, hook_padded(size));
    if (address)
        hook_track(address, size, interval, domain);
    else if (hook_padded(size) != size)
        address = real[domain].realloc(context, old, size);
    return address;
}

/* Before the block is freed: afterwards another thread may get its address at once. */
__attribute__((noinline)) bool hook_untrack(void *address, struct sample *ended)
{
    struct sample unused;
    bool taken;
    if (!hook_lock_in_time(&taken))
        return false;
    bool found = hook_live_end(address, ended ? ended : &unused);
    hook_unlock(taken);
    return found;
}

void hook_enter_probe(void *address)
{
    struct sample probe = {.address = (uintptr_t)address}; /* row 0: counts nowhere */
    bool taken = hook_lock();
    hook_live_restore(&probe);
    hook_unlock(taken);
}

void hook_restore(const struct sample *ended)
{
    bool taken;
    if (!hook_lock_in_time(&taken))
        return;
    hook_live_restore(ended);
    hook_unlock(taken);
}

void *hook_kept_on_failure(void *address, const struct sample *ended)
{
    if (!address)
        hook_restore(ended);
    return address;
}

/* --- the hooks of OBJ and MEM --------------------------------------------------------------------- */

/* What a hook of a domain may and must not do: see the thread rule at the top. */
#define DOMAIN_HOOKS(name, domain)                                                                       \
    static void *hook_##name##_malloc(void *context, size_t size)                                        \
    {                                                                                                    \
        if (unlikely(hook_count(size)))                                                                  \
            return hook_sample_malloc(context, size, domain);                                            \
        return real[domain].malloc(context, size);                                                       \
    }                                                                                                    \
    static void *hook_##name##_calloc(void *context, size_t count, size_t each)                          \
    {                                                                                                    \
        if (unlikely(hook_count(count * each)))                                                          \
            return hook_sample_calloc(context, count, each, domain);                                     \
        return real[domain].calloc(context, count, each);                                                \
    }                                                                                                    \
    static void *hook_##name##_realloc(void *context, void *old, size_t size)                            \
    {                                                                                                    \
        if (unlikely(size > hooks.small[domain]))                                                        \
            return real[domain].realloc(context, old, size);                                             \
        int *guard = hook_guard(); /* a block outside pymalloc stays there when it shrinks */            \
        ++*guard;                                                                                        \
        void *address = unlikely(hook_count(size)) ? hook_sample_realloc(context, old, size, domain)     \
                                                   : real[domain].realloc(context, old, size);           \
        --*guard;                                                                                        \
        return address;                                                                                  \
    }                                                                                                    \
    static __attribute__((noinline)) void hook_##name##_free_tracked(void *context, void *address)       \
    {                                                                                                    \
        hook_untrack(address, NULL);                                                                     \
        real[domain].free(context, address);                                                             \
    }                                                                                                    \
    static void hook_##name##_free(void *context, void *address)                                         \
    {                                                                                                    \
        if (unlikely(hook_live_maybe(address)))                                                          \
            hook_##name##_free_tracked(context, address);                                                \
        else                                                                                             \
            real[domain].free(context, address);                                                         \
    }                                                                                                    \
    static __attribute__((noinline)) void *hook_##name##_realloc_tracked(void *context, void *old,       \
                                                                         size_t size)                    \
    {                                                                                                    \
        struct sample ended;                                                                             \
        if (!hook_untrack(old, &ended))                                                                  \
            return hook_##name##_realloc(context, old, size);                                            \
        return hook_kept_on_failure(hook_##name##_realloc(context, old, size), &ended);                  \
    }                                                                                                    \
    static void *hook_##name##_realloc_watched(void *context, void *old, size_t size)                    \
    {                                                                                                    \
        if (unlikely(hook_live_maybe(old)))                                                              \
            return hook_##name##_realloc_tracked(context, old, size);                                    \
        return hook_##name##_realloc(context, old, size);                                                \
    }

DOMAIN_HOOKS(obj, DOMAIN_OBJ)
DOMAIN_HOOKS(mem, DOMAIN_MEM)

/* --- what install.c puts in place --------------------------------------------------------------------- */

void hook_functions(enum domain domain, bool watch_frees, PyMemAllocatorEx *functions)
{
    bool obj = domain == DOMAIN_OBJ;
    functions->malloc = obj ? hook_obj_malloc : hook_mem_malloc;
    functions->calloc = obj ? hook_obj_calloc : hook_mem_calloc;
    functions->realloc = obj ? hook_obj_realloc : hook_mem_realloc;
    if (watch_frees) {
        functions->realloc = obj ? hook_obj_realloc_watched : hook_mem_realloc_watched;
        functions->free = obj ? hook_obj_free : hook_mem_free;
    }
}
