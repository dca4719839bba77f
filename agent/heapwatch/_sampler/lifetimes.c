/* How long sampled blocks lived.
 *
 * Thread rule: under the table lock; safe in hooks.
 */
#include "lifetimes.h"

#include "live.h"

#include <time.h>

#define HEADS_ORDER 12

struct lifetimes lifetimes;
static uint32_t *heads;
static struct timespec opened;

bool hook_lifetimes_open(void)
{
    if (heads)
        return true;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &opened);
    hook_count_bytes(sizeof *heads << HEADS_ORDER);
    return hook_pool_open(&lifetimes.pool, sizeof(struct lifetimes_of), LIFETIME_LIMIT) &&
           (heads = hook_map(sizeof *heads << HEADS_ORDER));
}

uint32_t hook_tick(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    int64_t nanoseconds = (int64_t)(now.tv_sec - opened.tv_sec) * 1000000000 + (now.tv_nsec - opened.tv_nsec);
    return (uint32_t)(nanoseconds / (1000000000 / TICKS_PER_SECOND));
}

uint32_t hook_age_bucket(uint32_t birth, uint32_t now)
{
    uint32_t age = now - birth, bucket = age ? 32 - (uint32_t)__builtin_clz(age) : 0;
    return bucket < AGE_BUCKETS ? bucket : AGE_BUCKETS - 1;
}

static uint32_t *head_of(uint32_t stack, uint32_t caller)
{
    return heads + ((((uint64_t)caller << 32) ^ stack) * 0x9e3779b97f4a7c15u >> (64 - HEADS_ORDER));
}

uint32_t hook_lifetimes_find(uint32_t stack, uint32_t caller)
{
    uint32_t *head = head_of(stack, caller), index = *head;
    while (index && (hook_lifetimes_at(index)->stack != stack || hook_lifetimes_at(index)->caller != caller))
        index = hook_lifetimes_at(index)->next;
    if (index || !(index = hook_pool_take(&lifetimes.pool)))
        return index;
    struct lifetimes_of *entry = hook_lifetimes_at(index);
    entry->next = *head;
    entry->stack = stack;
    entry->caller = caller;
    entry->generation = live.generation;
    return *head = index;
}

struct ages *hook_lifetimes_ended(uint32_t index)
{
    struct lifetimes_of *entry = hook_lifetimes_at(index);
    if (entry->generation != live.generation) {
        entry->generation = live.generation;
        entry->ended = (struct ages){0};
    }
    return &entry->ended;
}

static void remove_entry(uint32_t index)
{
    struct lifetimes_of *entry = hook_lifetimes_at(index);
    uint32_t *link = head_of(entry->stack, entry->caller);
    while (*link != index)
        link = &hook_lifetimes_at(*link)->next;
    *link = entry->next;
    entry->stack = 0;
    hook_pool_return(&lifetimes.pool, index);
}

void hook_lifetimes_give_up(const uint8_t *stack_in_use)
{
    for (uint32_t i = 1; i < lifetimes.pool.used; i++)
        if (hook_lifetimes_at(i)->stack && !stack_in_use[hook_lifetimes_at(i)->stack])
            remove_entry(i);
}
