/* A thread's way to its next sample point, where allocations of several threads are counted at once.
 *
 * Each thread has a countdown of its own, drawn anew whenever the epoch changes (start, stop, another
 * interval, fork): the distance to the next point of a Poisson process has no memory, so that changes no
 * probability, and threads that don't know of each other are as unbiased as one (see estimate.h).
 *
 * The guard is up while the sampler is at work in this thread, or lets something be allocated that it counts
 * elsewhere. What is allocated meanwhile isn't sampled.
 *
 * Thread rule: as in native.h.
 */
#ifndef HEAPWATCH_COUNTDOWN_H
#define HEAPWATCH_COUNTDOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of each thread. */
struct native_thread {
    uint64_t countdown; /* bytes before the next sample point */
    uint32_t epoch;     /* in which the countdown was drawn */
    uint32_t interval;  /* that it was drawn with */
    int guard;          /* above 0: what is allocated isn't sampled */
};

/* Bytes to the next sample point, >= 1, and the mean it was drawn with; 0: can't be drawn now. */
typedef uint64_t native_gap(uint32_t *interval);

/* Whether `size` more bytes reach the thread's next sample point, or nobody knows yet where that is. */
static inline bool countdown_due(struct native_thread *thread, uint32_t epoch, size_t size)
{
    if (__builtin_expect(thread->epoch != epoch || size > thread->countdown, 0))
        return true;
    thread->countdown -= size;
    return false;
}

/* False: not now, for the sampler was interrupted in this thread. */
static inline bool countdown_draw(struct native_thread *thread, uint32_t epoch, native_gap *gap)
{
    thread->guard++;
    uint64_t distance = gap(&thread->interval);
    thread->guard--;
    if (!distance)
        return false;
    thread->countdown = distance - 1;
    thread->epoch = epoch;
    return true;
}

/* When countdown_due(): the interval that the block of `size` bytes is sampled with; 0: it isn't. */
static inline uint32_t countdown_take(struct native_thread *thread, uint32_t epoch, native_gap *gap, size_t size)
{
    if (thread->epoch != epoch && !countdown_draw(thread, epoch, gap))
        return 0;
    if (size <= thread->countdown) {
        thread->countdown -= size;
        return 0;
    }
    uint32_t interval = thread->guard ? 0 : thread->interval;
    countdown_draw(thread, epoch, gap);
    return interval;
}

#endif
