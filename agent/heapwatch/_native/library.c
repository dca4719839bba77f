/* Counting, and the door for the sampler.
 *
 * Thread rule: as in native.h. errno is the host's and stays as it was.
 */
#include "library.h"

__thread struct native_thread self __attribute__((tls_model("initial-exec")));

static struct native_thread *this_thread(void)
{
    return &self;
}

struct native_library library = {.thread = this_thread};

EXPORT struct native_library *heapwatch_native_1(void)
{
    return &library;
}

uint32_t take(size_t size)
{
    const struct native_sampler *sampler = atomic_load_explicit(&library.sampler, memory_order_acquire);
    uint32_t epoch = atomic_load_explicit(&library.epoch, memory_order_acquire);
    int host_errno = errno;
    if (!sampler)
        return 0; /* the epoch was seen before it */
    uint32_t interval = countdown_take(&self, epoch, sampler->gap, size);
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
