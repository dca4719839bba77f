/* The table lock: a spin lock that is never held across a call to an allocator or to Python.
 *
 * Thread rule: callable anywhere. The same thread may take it again only while it forks: between the
 * prepare and parent/child steps of pthread_atfork other libraries' fork handlers may use memory. A signal
 * handler may also come by while its thread holds the lock; native hooks ask hook_lock_interrupted() then.
 */
#ifndef HEAPWATCH_LOCK_H
#define HEAPWATCH_LOCK_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

extern _Atomic uintptr_t hook_lock_owner;
extern volatile bool hook_forking; /* written by the thread that holds the lock over a fork */

/* Returns false when this thread holds the lock already (then it must not release it). */
static inline bool hook_lock(void)
{
    uintptr_t self = (uintptr_t)pthread_self(), free = 0;
    if (atomic_load_explicit(&hook_lock_owner, memory_order_relaxed) == self)
        return false;
    for (unsigned spins = 0; !atomic_compare_exchange_weak_explicit(&hook_lock_owner, &free, self,
                                                                    memory_order_acquire, memory_order_relaxed);
         free = 0)
        if (++spins % 64 == 0)
            sched_yield(); /* the owner may have lost its processor */
    return true;
}

/* This code interrupts a change of the tables by its own thread, so it may not touch them. */
static inline bool hook_lock_interrupted(void)
{
    return atomic_load_explicit(&hook_lock_owner, memory_order_relaxed) == (uintptr_t)pthread_self() && !hook_forking;
}

static inline void hook_unlock(bool taken)
{
    if (taken)
        atomic_store_explicit(&hook_lock_owner, 0, memory_order_release);
}

#endif
