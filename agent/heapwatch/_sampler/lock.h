/* The table lock: a spin lock that is never held across a call to an allocator or to Python.
 *
 * Thread rule: callable anywhere. The same thread may take it again only while it forks: between the
 * prepare and parent/child steps of pthread_atfork other libraries' fork handlers may use memory. A signal
 * handler may also come by while its thread holds the lock; native hooks ask hook_lock_interrupted() then.
 */
#ifndef HEAPWATCH_LOCK_H
#define HEAPWATCH_LOCK_H

#include "faults.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

extern _Atomic uintptr_t hook_lock_owner;
extern atomic_bool hook_forking;             /* the owner holds the lock over a fork */
extern _Atomic uint64_t hook_lock_refused;   /* samples, and ends of samples, lost because the lock couldn't be had */

#define YIELD_EVERY 64
#define SLEEP_AFTER 4096      /* spins: the owner may be of a lower real-time priority */
#define SLEEP_NANOSECONDS 100000
#define FORK_PATIENCE 10000   /* sleeps: one second */

static inline bool hook_try_lock(uintptr_t self)
{
    uintptr_t free = 0;
    return atomic_compare_exchange_weak_explicit(&hook_lock_owner, &free, self, memory_order_acquire,
                                                 memory_order_relaxed);
}

/* Waits for the owner; false: the owner is still forking after a second. */
static __attribute__((noinline, unused)) bool hook_wait(uintptr_t self, bool in_time)
{
    int host_errno = errno;
    uint32_t spins = 0, sleeps = 0;
    bool taken;
    while (!(taken = hook_try_lock(self)) && !(in_time && sleeps >= FORK_PATIENCE)) {
        if (++spins % YIELD_EVERY)
            continue;
        sched_yield(); /* the owner may have lost its processor */
        if (spins < SLEEP_AFTER)
            continue;
        nanosleep(&(struct timespec){0, SLEEP_NANOSECONDS}, NULL);
        sleeps += atomic_load_explicit(&hook_forking, memory_order_relaxed);
    }
    errno = host_errno;
    return taken;
}

/* Returns false when this thread holds the lock already (then it must not release it). */
static inline bool hook_lock(void)
{
    uintptr_t self = (uintptr_t)pthread_self();
    if (atomic_load_explicit(&hook_lock_owner, memory_order_relaxed) == self)
        return false;
    return hook_try_lock(self) || hook_wait(self, false);
}

/* The same for allocator hooks. False: give up, and touch nothing. For the thread that forks may be waiting, in
 * another library's fork handler, for a lock that this thread holds while it allocates. */
static inline bool hook_lock_in_time(bool *taken)
{
    uintptr_t self = (uintptr_t)pthread_self();
    *taken = atomic_load_explicit(&hook_lock_owner, memory_order_relaxed) != self;
    if (!fault_due(FAULT_LOCK) && (!*taken || hook_try_lock(self) || hook_wait(self, true)))
        return true;
    atomic_fetch_add_explicit(&hook_lock_refused, 1, memory_order_relaxed);
    return false;
}

/* This code interrupts a change of the tables by its own thread, so it may not touch them. */
static inline bool hook_lock_interrupted(void)
{
    return atomic_load_explicit(&hook_lock_owner, memory_order_relaxed) == (uintptr_t)pthread_self() &&
           !atomic_load_explicit(&hook_forking, memory_order_relaxed);
}

static inline void hook_unlock(bool taken)
{
    if (taken)
        atomic_store_explicit(&hook_lock_owner, 0, memory_order_release);
}

#endif
