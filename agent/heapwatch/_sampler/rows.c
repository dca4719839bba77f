/* Rows: the totals of each (stack, caller, label, thread).
 *
 * Thread rule: under the table lock; safe in hooks.
 */
#include "rows.h"

#include "live.h"
#include "stacks.h"

#include <string.h>

#define HEADS_ORDER 14

struct rows rows;
static uint32_t *heads;

bool hook_rows_open(void)
{
    if (heads)
        return true;
    if (!hook_pool_open(&rows.pool, sizeof(struct row), ROW_LIMIT) || !(heads = hook_map(sizeof *heads << HEADS_ORDER)))
        return false;
    hook_count_bytes(sizeof *heads << HEADS_ORDER);
    return hook_row_find(STACK_NONE, 0, 0, 0) == ROW_NONE && hook_row_find(STACK_OVERFLOW, 0, 0, 0) == ROW_OVERFLOW;
}

static uint32_t *head_of(uint32_t stack, uint32_t caller, uint32_t label, uint32_t thread)
{
    uint64_t key = ((uint64_t)stack << 32) ^ ((uint64_t)caller << 20) ^ ((uint64_t)label << 12) ^ thread;
    return heads + (key * 0x9e3779b97f4a7c15u >> (64 - HEADS_ORDER));
}

static uint32_t find(uint32_t stack, uint32_t caller, uint32_t label, uint32_t thread)
{
    for (uint32_t i = *head_of(stack, caller, label, thread); i; i = hook_row_at(i)->next) {
        const struct row *row = hook_row_at(i);
        if (row->stack == stack && row->caller == caller && row->label == label && row->thread == thread)
            return i;
    }
    return 0;
}

static void link_row(uint32_t index)
{
    struct row *row = hook_row_at(index);
    uint32_t *head = head_of(row->stack, row->caller, row->label, row->thread);
    row->next = *head;
    *head = index;
}

static void unlink_row(uint32_t index)
{
    const struct row *row = hook_row_at(index);
    uint32_t *link = head_of(row->stack, row->caller, row->label, row->thread);
    while (*link != index)
        link = &hook_row_at(*link)->next;
    *link = row->next;
}

uint32_t hook_row_find(uint32_t stack, uint32_t caller, uint32_t label, uint32_t thread)
{
    uint32_t index = find(stack, caller, label, thread);
    if (index)
        return index;
    if (!(index = hook_pool_take(&rows.pool))) {
        rows.refused++;
        return ROW_OVERFLOW;
    }
    *hook_row_at(index) =
        (struct row){.stack = stack, .caller = caller, .label = label, .thread = thread, .generation = live.generation};
    link_row(index);
    return index;
}

void hook_row_since_fork(struct row *row)
{
    if (row->generation == live.generation)
        return;
    row->generation = live.generation;
    row->alloc_objects = row->alloc_bytes = 0;
}

bool hook_rows_crowded(void)
{
    return !rows.pool.free && rows.pool.used > ROW_LIMIT - ROW_LIMIT / 4;
}

static void remove_row(uint32_t index)
{
    unlink_row(index);
    hook_row_at(index)->stack = 0;
    hook_pool_return(&rows.pool, index);
}

void hook_rows_give_up(uint64_t shown)
{
    for (uint32_t i = ROW_OVERFLOW + 1; i < rows.pool.used; i++) {
        const struct row *row = hook_row_at(i);
        if (row->stack && !row->samples && row->changed <= shown)
            remove_row(i);
    }
}

static void add_totals(struct row *to, const struct row *from)
{
    to->samples += from->samples;
    to->live_objects += from->live_objects;
    to->live_bytes += from->live_bytes;
    to->alloc_objects += from->alloc_objects;
    to->alloc_bytes += from->alloc_bytes;
    to->changed = ++rows.clock;
}

/* Returns the row that takes over, 0 when the row itself was renamed. */
static uint32_t fold_row(uint32_t index, struct thread_fold fold)
{
    struct row *row = hook_row_at(index);
    hook_row_since_fork(row);
    if (!fold.carry)
        row->alloc_objects = row->alloc_bytes = 0;
    uint32_t other = find(row->stack, row->caller, row->label, fold.to);
    if (!other) {
        unlink_row(index);
        row->thread = fold.to;
        row->changed = ++rows.clock;
        link_row(index);
        return 0;
    }
    hook_row_since_fork(hook_row_at(other));
    add_totals(hook_row_at(other), row);
    remove_row(index);
    return other;
}

static uint32_t moved[ROW_LIMIT + 1];

void hook_rows_fold(const struct thread_fold *folds)
{
    bool any = false;
    for (uint32_t i = ROW_OVERFLOW + 1; i < rows.pool.used; i++) {
        const struct row *row = hook_row_at(i);
        moved[i] = row->stack && folds[row->thread].to != row->thread ? fold_row(i, folds[row->thread]) : 0;
        any |= moved[i] != 0;
    }
    if (any)
        hook_live_move(moved);
}
