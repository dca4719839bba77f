/* Own memory of the sampler: raw anonymous mappings, counted.
 *
 * Thread rule: callable anywhere, inside allocator hooks too. Nothing here calls an allocator.
 */
#ifndef HEAPWATCH_MEMORY_H
#define HEAPWATCH_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Reserve address space that becomes resident page by page when it is first written; NULL when refused. */
void *hook_map(size_t bytes);
void hook_unmap(void *address, size_t bytes);
void *hook_remap(void *address, size_t bytes, size_t more); /* longer, perhaps elsewhere; NULL: left as it was */

/* A growing array in reserved address space: elements never move, indexes start at 1, 0 means none. */
struct pool {
    char *base;
    uint32_t element; /* bytes per element */
    uint32_t limit;   /* elements reserved */
    uint32_t used;    /* elements ever handed out, element 0 included */
    uint32_t free;    /* head of the list of returned elements; each holds the next in its first 4 bytes */
    uint32_t idle;    /* elements in that list */
};

bool hook_pool_open(struct pool *pool, size_t element, uint32_t limit);
uint32_t hook_pool_take(struct pool *pool); /* 0 when the pool is full; the element is zeroed */
void hook_pool_return(struct pool *pool, uint32_t index);

static inline void *hook_pool_at(const struct pool *pool, uint32_t index)
{
    return pool->base + (size_t)pool->element * index;
}

/* Resident bytes at most: what was written to, rounded up to pages. */
size_t hook_pool_bytes(const struct pool *pool);
size_t hook_pool_busy(const struct pool *pool); /* bytes of the elements that are handed out */
void hook_count_bytes(size_t bytes);
size_t hook_counted_bytes(void);

#endif
