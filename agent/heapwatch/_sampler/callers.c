/* Callers: the places in native code that asked the C allocator for sampled memory.
 *
 * Thread rule: under the table lock; safe in hooks.
 */
#include "callers.h"

#define HEADS_ORDER 10

struct callers callers;
static uint32_t *heads;

bool hook_callers_open(void)
{
    if (heads)
        return true;
    if (!hook_pool_open(&callers.pool, sizeof(struct caller), CALLER_LIMIT))
        return false;
    hook_count_bytes(sizeof *heads << HEADS_ORDER);
    return (heads = hook_map(sizeof *heads << HEADS_ORDER)) != NULL;
}

uint32_t hook_caller_find(uintptr_t address)
{
    uint32_t *head = heads + ((uint64_t)address * 0x9e3779b97f4a7c15u >> (64 - HEADS_ORDER)), index = *head;
    while (index && hook_caller_at(index)->address != address)
        index = hook_caller_at(index)->next;
    if (index)
        return index;
    if (!(index = hook_pool_take(&callers.pool))) {
        callers.refused++;
        return 0;
    }
    *hook_caller_at(index) = (struct caller){.next = *head, .address = address};
    return *head = index;
}
