/* How long sampled blocks lived: for each (stack, caller) a histogram of the ages at which they ended.
 *
 * A block ends when it is freed, or when a realloc makes another block of it. Each counts with its weight
 * (estimate.h), so the totals are unbiased whatever intervals the samples were drawn at.
 *
 * Thread rule: under the table lock; safe in hooks. hook_tick() anywhere.
 */
#ifndef HEAPWATCH_LIFETIMES_H
#define HEAPWATCH_LIFETIMES_H

#include "estimate.h"
#include "memory.h"

#define TICKS_PER_SECOND 64 /* 32 bits of them last for two years */
#define AGE_BUCKETS 24      /* below one tick, then 1, 2, 4, ... ticks; the last is open: 18 hours and more */
#ifndef LIFETIME_LIMIT
#define LIFETIME_LIMIT (1u << 13) /* 400 bytes each: at most 3.2 MiB */
#endif

struct ages {
    double objects[AGE_BUCKETS], bytes[AGE_BUCKETS];
};

struct lifetimes_of {
    uint32_t next;          /* of the same hash */
    uint32_t stack, caller; /* stack 0: not used */
    uint32_t generation;    /* forks that lay before the ends */
    struct ages ended;
};

struct lifetimes {
    struct pool pool;
    uint64_t refused; /* ends that found the table full */
};
extern struct lifetimes lifetimes;

static inline struct lifetimes_of *hook_lifetimes_at(uint32_t index)
{
    return hook_pool_at(&lifetimes.pool, index);
}

static inline void hook_age_add(struct ages *ages, uint32_t bucket, struct weight weight, int sign)
{
    ages->objects[bucket] += sign * weight.objects;
    ages->bytes[bucket] += sign * weight.bytes;
}

bool hook_lifetimes_open(void);
uint32_t hook_tick(void); /* since hook_lifetimes_open(); coarse, and never set back */
uint32_t hook_age_bucket(uint32_t birth, uint32_t now);
uint32_t hook_lifetimes_find(uint32_t stack, uint32_t caller); /* 0 when full */
struct ages *hook_lifetimes_ended(uint32_t index);             /* since the last fork; index not 0 */
void hook_lifetimes_give_up(const uint8_t *stack_in_use);

#endif
