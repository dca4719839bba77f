/* Own memory of the sampler: raw anonymous mappings, counted.
 *
 * The kernel is called past the C library's mmap, which a native hook may stand in front of: it would take our
 * tables for the host's, and the table lock twice.
 *
 * Thread rule: callable anywhere. Pools are guarded by whoever owns them.
 */
#define _GNU_SOURCE
#include "memory.h"

#include "faults.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic size_t counted_bytes;
#ifdef HEAPWATCH_FAULTS
struct faults heapwatch_faults = {.succeed = {INT64_MAX, INT64_MAX, INT64_MAX}};
#endif

void *hook_map(size_t bytes)
{
    if (fault_due(FAULT_MAP))
        return NULL;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *address = (void *)syscall(SYS_mmap, NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0L);
    if (address == MAP_FAILED)
        return NULL;
    syscall(SYS_madvise, address, bytes, MADV_NOHUGEPAGE); /* a page touched here and there would cost 2 MiB each */
    return address;
}

void *hook_remap(void *address, size_t bytes, size_t more)
{
    if (fault_due(FAULT_MAP))
        return NULL;
    void *moved = (void *)syscall(SYS_mremap, address, bytes, more, MREMAP_MAYMOVE);
    return moved == MAP_FAILED ? NULL : moved;
}

void hook_unmap(void *address, size_t bytes)
{
    syscall(SYS_munmap, address, bytes);
}

bool hook_pool_open(struct pool *pool, size_t element, uint32_t limit)
{
    if (pool->base)
        return true;
    pool->base = hook_map(element * ((size_t)limit + 1));
    pool->element = (uint32_t)element;
    pool->limit = limit;
    pool->used = 1;
    return pool->base != NULL;
}

uint32_t hook_pool_take(struct pool *pool)
{
    uint32_t index = pool->free;
    if (fault_due(FAULT_POOL))
        return 0;
    if (index) {
        memcpy(&pool->free, hook_pool_at(pool, index), sizeof pool->free);
        memset(hook_pool_at(pool, index), 0, pool->element);
        pool->idle--;
        return index;
    }
    return pool->used > pool->limit ? 0 : pool->used++;
}

void hook_pool_return(struct pool *pool, uint32_t index)
{
    memcpy(hook_pool_at(pool, index), &pool->free, sizeof pool->free);
    pool->free = index;
    pool->idle++;
}

size_t hook_pool_bytes(const struct pool *pool)
{
    return ((size_t)pool->element * pool->used + 4095) & ~(size_t)4095;
}

size_t hook_pool_busy(const struct pool *pool)
{
    return (size_t)pool->element * (pool->used - pool->idle);
}

void hook_count_bytes(size_t bytes)
{
    atomic_fetch_add_explicit(&counted_bytes, bytes, memory_order_relaxed);
}

size_t hook_counted_bytes(void)
{
    return atomic_load_explicit(&counted_bytes, memory_order_relaxed);
}
