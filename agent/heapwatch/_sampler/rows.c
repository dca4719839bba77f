/* Rows: the totals of each (stack, caller, label, thread).
 *
 * Thread rule: under the table lock; safe in hooks.
 */
#include "rows.h"

#include "live.h"
#include "stacks.h"

#include <math.h>
#include <string.h>

#define HEADS_ORDER 14

struct rows rows;
static uint32_t *heads;
static uint32_t serial;

bool hook_rows_open(void)
{
    if (heads)
        return true;
    if (!hook_pool_open(&rows.pool, sizeof(struct row), ROW_LIMIT) || !(heads = hook_map(sizeof *heads << HEADS_ORDER)))
        return false;
    hook_count_bytes(sizeof *heads << HEADS_ORDER);
    return hook_row_find(STACK_NONE, 0, 0, 0) == ROW_NONE &&
           hook_row_find(STACK_OVERFLOW, 0, 0, 0) == ROW_OVERFLOW && hook_row_find(STACK_PAST, 0, 0, 0) == ROW_PAST;
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
    *hook_row_at(index) = (struct row){.stack = stack, .caller = caller, .label = label, .thread = thread,
                                       .generation = live.generation, .serial = ++serial};
    link_row(index);
    return index;
}

void hook_row_since_fork(struct row *row)
{
    if (row->generation == live.generation)
        return;
    row->generation = live.generation;
    row->alloc_objects = row->alloc_bytes = row->taken_objects = row->taken_bytes = 0;
}

/* Where a row hasn't changed since the peak, what lives is what lived at it. So the whole profile of a peak is kept by
 * counting peaks, and each row saves its figures when it first changes after one. */
void hook_row_keep_peak(struct row *row)
{
    if (row->peak == live.peak)
        return;
    row->peak = live.peak;
    row->peak_objects = row->live_objects;
    row->peak_bytes = row->live_bytes;
}

bool hook_rows_crowded(void)
{
    return !rows.pool.free && rows.pool.used > ROW_LIMIT - ROW_LIMIT / 4;
}

/* --- giving up -------------------------------------------------------------------------------------- */

static void return_row(uint32_t index)
{
    hook_row_at(index)->stack = 0;
    hook_pool_return(&rows.pool, index);
}

static void add_peak(struct row *to, struct row *from)
{
    hook_row_keep_peak(to);
    hook_row_keep_peak(from);
    to->peak_objects += from->peak_objects;
    to->peak_bytes += from->peak_bytes;
}

static void add_allocated(struct row *to, struct row *from)
{
    add_peak(to, from);
    hook_row_since_fork(to);
    hook_row_since_fork(from);
    to->alloc_objects += from->alloc_objects;
    to->alloc_bytes += from->alloc_bytes;
    to->taken_objects += from->taken_objects;
    to->taken_bytes += from->taken_bytes;
    to->changed = ++rows.clock;
}

static bool idle(struct row *row, uint64_t shown, bool taken)
{
    if (!row->stack || row->samples || row->changed > shown)
        return false;
    hook_row_since_fork(row);
    return !taken || llround(row->alloc_bytes - row->taken_bytes) == 0;
}

void hook_rows_give_up(uint64_t shown, bool taken)
{
    for (uint32_t i = ROW_PAST + 1; i < rows.pool.used; i++) {
        struct row *row = hook_row_at(i);
        if (!idle(row, shown, taken))
            continue;
        add_allocated(hook_row_at(ROW_PAST), row);
        unlink_row(i);
        return_row(i);
    }
}

/* --- folding ---------------------------------------------------------------------------------------- */

static void add_totals(struct row *to, struct row *from)
{
    add_allocated(to, from);
    to->samples += from->samples;
    to->live_objects += from->live_objects;
    to->live_bytes += from->live_bytes;
}

static void fold_row(uint32_t index, uint32_t thread)
{
    struct row *row = hook_row_at(index);
    uint32_t other = find(row->stack, row->caller, row->label, thread);
    unlink_row(index);
    if (!other) {
        row->thread = thread;
        row->changed = ++rows.clock;
        link_row(index);
        return;
    }
    add_totals(hook_row_at(other), row);
    row->into = other;
    if (!row->samples)
        return_row(index);
}

void hook_rows_fold(const uint32_t *to)
{
    for (uint32_t i = ROW_PAST + 1; i < rows.pool.used; i++) {
        const struct row *row = hook_row_at(i);
        if (row->stack && !row->into && to[row->thread] != row->thread)
            fold_row(i, to[row->thread]);
    }
}

uint32_t hook_row_settled(uint32_t index)
{
    while (hook_row_at(index)->into)
        index = hook_row_at(index)->into;
    return index;
}

uint32_t hook_row_ended(uint32_t index)
{
    for (uint32_t into; (into = hook_row_at(index)->into); index = into)
        if (!--hook_row_at(index)->samples)
            return_row(index);
    return index;
}

/* --- taking ----------------------------------------------------------------------------------------- */

struct taken hook_taken(const struct row *copy)
{
    return (struct taken){copy->next, copy->serial, llround(copy->alloc_objects - copy->taken_objects),
                          llround(copy->alloc_bytes - copy->taken_bytes)};
}

void hook_row_take(uint32_t index)
{
    struct row *row = hook_row_at(index);
    hook_row_since_fork(row);
    struct taken taken = hook_taken(row);
    row->taken_objects += (double)taken.objects;
    row->taken_bytes += (double)taken.bytes;
}

void hook_row_give_back(const struct taken *taken)
{
    bool there = taken->row < rows.pool.used && hook_row_at(taken->row)->stack &&
                 hook_row_at(taken->row)->serial == taken->serial;
    struct row *row = hook_row_at(there ? hook_row_settled(taken->row) : ROW_PAST);
    hook_row_since_fork(row);
    row->taken_objects -= (double)taken->objects;
    row->taken_bytes -= (double)taken->bytes;
}
