/* Checks of the thread rules while running, in builds with -DHEAPWATCH_ASSERT_HOOKS; nothing in others.
 *
 * That hook files call nothing of Python is held at build time, by a test that reads their symbols. What can
 * only be seen running is checked here: the table lock isn't held across a call to an allocator or to Python,
 * and functions that need the GIL have it.
 *
 * Thread rule: callable anywhere.
 */
#ifndef HEAPWATCH_ASSERTS_H
#define HEAPWATCH_ASSERTS_H

#ifdef HEAPWATCH_ASSERT_HOOKS
#include "lock.h"

#define ASSERT_UNLOCKED()                                                                                   \
    do {                                                                                                    \
        if (atomic_load_explicit(&hook_lock_owner, memory_order_relaxed) == (uintptr_t)pthread_self())      \
            __builtin_trap();                                                                               \
    } while (0)
#define ASSERT_GIL()                                                                                        \
    do {                                                                                                    \
        ASSERT_UNLOCKED();                                                                                  \
        if (!PyGILState_Check())                                                                            \
            __builtin_trap();                                                                               \
    } while (0)
#else
#define ASSERT_UNLOCKED() ((void)0)
#define ASSERT_GIL() ((void)0)
#endif

#endif
