/* Puts the hooks in place, once, and asks whether they are still reached.
 *
 * Other tools wrap over us or put back what they found before us, in any order. So we never ask whose pointer
 * is in place but whether a real allocation and its free come by. If not, we wrap what is there now; live
 * samples are given up then, since their frees may have gone past us.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include "install.h"

#include "asserts.h"
#include "callers.h"
#include "hooks.h"
#include "lifetimes.h"
#include "lock.h"
#include "native.h"
#include "raw.h"
#include "stacks.h"
#include "threads.h"
#include "trace.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define REWRAP_LIMIT 16

struct install install;
static const PyMemAllocatorDomain python_domain[DOMAIN_COUNT] = {PYMEM_DOMAIN_OBJ, PYMEM_DOMAIN_MEM};

double gil_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* --- fork ------------------------------------------------------------------------------------------ */

static bool fork_taken;

/* Forking with the lock held by the forking thread, so that the child's table is whole; see lock.h for why
 * other fork handlers that free memory meanwhile don't wait for us. */
static void hook_fork_prepare(void)
{
    fork_taken = hook_lock();
    hook_forking = fork_taken; /* false: a signal handler forks, in the middle of a change of the tables */
}

static void hook_fork_parent(void)
{
    hook_forking = false;
    hook_unlock(fork_taken);
}

static void hook_fork_child(void)
{
    hook_live_forked();
    hook_threads_forked();
    if (hooks.enabled)
        hook_draw();
    hook_draw_anew();
    hook_forking = false;
    hook_unlock(fork_taken);
}

/* --- native mode ------------------------------------------------------------------------------------- */

/* Whether the process calls the library's malloc, and not another that stands before it. By trying, in an epoch without
 * a sampler, in which the library counts and asks nobody: the address of malloc tells nothing, for it lies inside the
 * executable where that isn't position-independent (Debian's python3). */
static bool gil_in_front(struct native_library *library)
{
    struct native_thread *thread = library->thread();
    *thread = (struct native_thread){.epoch = 1, .countdown = NATIVE_NEVER};
    atomic_store(&library->epoch, 1);
    void *volatile block = malloc(1);
    bool counted = thread->countdown != NATIVE_NEVER;
    free(block);
    atomic_store(&library->epoch, 0);
    *thread = (struct native_thread){0};
    return counted;
}

/* The library was preloaded, and no other copy of us has it. */
static void gil_native_open(void)
{
    struct native_library *(*offer)(void) = (struct native_library * (*)(void)) dlsym(RTLD_DEFAULT, NATIVE_SYMBOL);
    const struct native_sampler *none = NULL;
    struct native_library *library = offer && hook_callers_open() ? offer() : NULL;
    if (!library || atomic_load(&library->sampler) || !gil_in_front(library))
        return;
    struct module c_library = gil_module_of((uintptr_t)getenv), allocator = gil_module_of((uintptr_t)library->real_malloc);
    native.interpreter = gil_module_of((uintptr_t)PyObject_Malloc);
    native.ours = gil_module_of((uintptr_t)gil_native_open);
    if (allocator.first != c_library.first)
        native.allocator = allocator;
    if (!atomic_compare_exchange_strong(&library->sampler, &none, &hook_native_sampler))
        return;
    native.library = library;
    hooks.native = true;
    hook_draw_anew();
}

/* --- which blocks are counted below ------------------------------------------------------------------ */

/* Whether the hooks below see blocks of that size and domain, with the wrappers that are in place; and if so, how far
 * inside what they see the block begins. */
static bool gil_reaches_below(const PyMemAllocatorEx *place, size_t size)
{
    native.seen_count = 0;
    uintptr_t block = (uintptr_t)place->malloc(place->ctx, size);
    bool reached = false;
    for (uint32_t i = 0; i < native.seen_count && i < SEEN_LIMIT; i++)
        if (block - native.seen[i].address < native.seen[i].size) {
            hooks.marks = block - native.seen[i].address;
            reached = true;
        }
    place->free(place->ctx, (void *)block);
    return reached;
}

/* Debug hooks make blocks larger and PYTHONMALLOC=malloc leaves pymalloc out, so the limit is found by trying. */
static size_t gil_small_limit(enum domain domain)
{
    PyMemAllocatorEx place;
    PyMem_GetAllocator(python_domain[domain], &place);
    atomic_store(&native.prober, (uintptr_t)pthread_self());
    hook_draw_anew();
    size_t small = gil_reaches_below(&place, RAW_BACKED) ? RAW_BACKED - 1 : SIZE_MAX;
    while (small && small < RAW_BACKED && gil_reaches_below(&place, small))
        small--;
    atomic_store(&native.prober, 0);
    hook_draw_anew();
    return small;
}

/* --- wrapping --------------------------------------------------------------------------------------- */

static void gil_wrap_raw(void)
{
    PyMemAllocatorEx place, ours = {0};
    hook_raw_functions(!hooks.native, &ours);
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &place);
    if (place.free != ours.free)
        hooks.real_raw = place;
    hook_raw_functions(!hooks.native, &place);
    PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &place);
}

static void gil_wrap_domain(enum domain domain)
{
    PyMemAllocatorEx place, ours = {0};
    hook_functions(domain, install.watches_frees, &ours);
    PyMem_GetAllocator(python_domain[domain], &place);
    if (place.malloc != ours.malloc) {
        hooks.real[domain] = place;
        hooks.small[domain] = gil_small_limit(domain);
    }
    hook_functions(domain, install.watches_frees, &place);
    PyMem_SetAllocator(python_domain[domain], &place);
}

/* True when a hook has taken the probe's entry out. */
static bool gil_probe_gone(void *address)
{
    return !hook_untrack(address, NULL);
}

/* Whether frees and reallocs of blocks that pymalloc passes on come by the RAW hooks. */
static bool gil_frees_through_raw(enum domain domain)
{
    PyMemAllocatorEx place;
    PyMem_GetAllocator(python_domain[domain], &place);
    void *block = place.calloc(place.ctx, 1, RAW_BACKED), *shrunk;
    if (!block)
        return false;
    hook_enter_probe(block);
    shrunk = place.realloc(place.ctx, block, 100);
    bool seen = gil_probe_gone(block);
    block = shrunk ? shrunk : block;
    hook_enter_probe(block);
    place.free(place.ctx, block);
    return gil_probe_gone(block) && seen;
}

static void gil_wrap(void)
{
    gil_wrap_raw();
    int *guard = hook_guard();
    ++*guard;
    install.watches_frees |= !gil_frees_through_raw(DOMAIN_OBJ) || !gil_frees_through_raw(DOMAIN_MEM);
    --*guard;
    hooks.pad = !install.watches_frees;
    gil_wrap_domain(DOMAIN_OBJ);
    gil_wrap_domain(DOMAIN_MEM);
}

/* Allocates through Python's front door and sees whether the block's birth and end come by our hooks. Where there is no
 * memory nothing is known, and wrapping a wrapper of ours for nothing would make a circle: then they are taken to. */
static bool gil_domain_reached(enum domain domain)
{
    uint64_t countdown = hooks.countdown;
    hooks.asking = true;
    hooks.answer = 0;
    hooks.countdown = 0;
    void *block = domain == DOMAIN_OBJ ? PyObject_Malloc(RAW_BACKED) : PyMem_Malloc(RAW_BACKED);
    hooks.countdown = countdown;
    hooks.asking = false;
    void *seen = (void *)hooks.answer;
    if (!block)
        return true;
    if (domain == DOMAIN_OBJ)
        PyObject_Free(block);
    else
        PyMem_Free(block);
    return seen && gil_probe_gone(seen);
}

static bool gil_reached(void)
{
    int *guard = hook_guard(); /* a sample at the probe's address would be taken for the probe */
    ++*guard;
    bool reached = gil_domain_reached(DOMAIN_OBJ) && gil_domain_reached(DOMAIN_MEM);
    --*guard;
    return reached;
}

bool gil_install(void)
{
    ASSERT_GIL();
    if (install.done)
        return true;
    if (!hook_live_open() || !hook_rows_open() || !hook_lifetimes_open() || !hook_stacks_open() || !hook_threads_open())
        return false;
    hook_main_interpreter = PyInterpreterState_Main();
    hooks.started = gil_now();
    gil_native_open();
    pthread_atfork(hook_fork_prepare, hook_fork_parent, hook_fork_child);
    gil_wrap();
    install.done = true;
    return gil_reached();
}

static void gil_flush(void)
{
    bool taken = hook_lock();
    hook_live_flush();
    hook_unlock(taken);
}

bool gil_install_check(void)
{
    ASSERT_GIL();
    if (!install.done || gil_reached())
        return install.done;
    gil_flush();
    if (!install.incomplete_since)
        install.incomplete_since = gil_now();
    if (install.rewraps < REWRAP_LIMIT) {
        install.rewraps++;
        gil_wrap();
    }
    return gil_reached();
}

/* --- on, off, rate ------------------------------------------------------------------------------------ */

void gil_seed(uint64_t seed)
{
    bool taken = hook_lock();
    hook_random_seed(&live.random, seed);
    hook_unlock(taken);
}

static void gil_draw(uint32_t interval)
{
    bool taken = hook_lock();
    live.interval = interval;
    if (hooks.enabled)
        hook_draw();
    hook_unlock(taken);
    hook_draw_anew();
}

void gil_enable(uint32_t interval, uint32_t max_depth)
{
    ASSERT_GIL();
    hooks.max_depth = max_depth;
    hooks.enabled = true;
    gil_draw(interval);
}

void gil_disable(void)
{
    hooks.enabled = false;
    hooks.countdown = COUNTDOWN_NEVER;
    hook_draw_anew();
}

void gil_set_interval(uint32_t interval)
{
    ASSERT_GIL();
    gil_draw(interval);
}
