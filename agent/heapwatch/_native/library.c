/* Counting, and the door for the sampler.
 *
 * Each thread has a countdown of its own, drawn anew whenever the epoch changes (start, stop, another
 * interval, fork): the distance to the next point of a Poisson process has no memory, so that changes no
 * probability, and threads that don't know of each other are as unbiased as one (see estimate.h).
 *
 * The guard is up while the sampler is at work in this thread. So what a signal handler allocates in between
 * isn't sampled, nor what the sampler or the functions it calls allocate.
 *
 * Thread rule: as in native.h. errno is the host's and stays as it was.
 */
#include "library.h"

__thread struct native_thread self __attribute__((tls_model("initial-exec")));

static struct native_thread *this_thread(void)
{
    return &self;
}

static void *call_real_malloc(size_t size)
{
    return real.malloc(size);
}

struct native_library library = {.thread = this_thread, .real_malloc = call_real_malloc};

EXPORT struct native_library *heapwatch_native_1(void)
{
    return &library;
}

/* False: not now, for the sampler was interrupted in this thread. */
static bool draw(const struct native_sampler *sampler)
{
    uint32_t epoch = atomic_load_explicit(&library.epoch, memory_order_relaxed);
    self.guard++;
    uint64_t gap = sampler->gap(&self.interval);
    self.guard--;
    if (!gap)
        return false;
    self.countdown = gap - 1;
    self.epoch = epoch;
    return true;
}

uint32_t take(size_t size)
{
    const struct native_sampler *sampler = atomic_load_explicit(&library.sampler, memory_order_acquire);
    uint32_t epoch = atomic_load_explicit(&library.epoch, memory_order_relaxed);
    int host_errno = errno;
    uint32_t interval = 0;
    bool known = true;
    if (!sampler)
        return 0; /* the epoch was seen before it */
    if (self.epoch != epoch)
        known = draw(sampler);
    if (known && size > self.countdown) {
        interval = self.guard ? 0 : self.interval;
        draw(sampler);
    } else if (known) {
        self.countdown -= size;
    }
    errno = host_errno;
    return interval;
}

void begin(void *address, size_t size, uint32_t interval, const void *caller, bool mapping)
{
    const struct native_sampler *sampler = atomic_load_explicit(&library.sampler, memory_order_acquire);
    int host_errno = errno;
    self.guard++;
    sampler->begin(address, size, interval, caller, mapping);
    self.guard--;
    errno = host_errno;
}

__attribute__((noinline)) bool end(const struct native_sampler *sampler, void *address, struct native_ended *ended)
{
    int host_errno = errno;
    self.guard++;
    bool found = sampler->end(address, ended);
    self.guard--;
    errno = host_errno;
    return found;
}

void restore(const struct native_sampler *sampler, const struct native_ended *ended)
{
    int host_errno = errno;
    self.guard++;
    sampler->restore(ended);
    self.guard--;
    errno = host_errno;
}
