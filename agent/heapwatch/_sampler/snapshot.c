/* A copy of rows to be shown, and the tidying that follows when they were.
 *
 * Numbers are copied at one time, under the table lock and without a call. What is made of the copy allocates, and
 * lets other threads run: the tables may gain entries meanwhile, but nothing is taken away and no thread renamed
 * before the last snapshot is dropped.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include "snapshot.h"

#include "asserts.h"
#include "lifetimes.h"
#include "live.h"
#include "lock.h"
#include "native.h"
#include "stack_text.h"
#include "stacks.h"
#include "thread_names.h"

#include <string.h>

/* Bytes beyond which rows and stacks of the past are given up: first those of which profiles said all. */
#define TABLES_ROOM (1u << 20)
#define TABLES_MOST (4u << 20)

static unsigned under_way;
static uint32_t generation; /* forks that lay before the snapshots under way */

/* --- copying ------------------------------------------------------------------------------------------------ */

static bool chosen(struct row *row, const struct wanted *wanted)
{
    if (!row->stack || row->into || row->changed <= wanted->since)
        return false;
    hook_row_since_fork(row);
    if (wanted->peak) {
        hook_row_keep_peak(row);
        return row->peak_bytes > 0;
    }
    if (row->samples || !(wanted->live || wanted->take))
        return true;
    return wanted->take && (row->alloc_bytes - row->taken_bytes >= 0.5 || row->alloc_objects - row->taken_objects >= 0.5);
}

/* Under the table lock. */
static void copy_row(struct snapshot *snapshot, uint32_t index, const struct wanted *wanted)
{
    struct row *row = hook_row_at(index), *copy = &snapshot->rows[snapshot->count];
    if (!chosen(row, wanted))
        return;
    *copy = *row;
    copy->next = index;
    if (wanted->peak) {
        copy->live_objects = row->peak_objects, copy->live_bytes = row->peak_bytes;
        copy->alloc_objects = copy->alloc_bytes = 0;
    }
    if (wanted->take)
        hook_row_take(index);
    if (wanted->own && row->label == wanted->own)
        snapshot->own_bytes += copy->live_bytes;
    else
        snapshot->count++;
}

static unsigned *gil_under_way(void)
{
    if (generation != live.generation) /* whoever was at it stayed in the parent */
        under_way = 0;
    generation = live.generation;
    return &under_way;
}

uint32_t gil_rows_used(void)
{
    bool taken = hook_lock();
    uint32_t used = rows.pool.used;
    hook_unlock(taken);
    return used;
}

static bool gil_full(void)
{
    bool taken = hook_lock(), full = hook_stacks_crowded() || hook_rows_crowded();
    hook_unlock(taken);
    return full;
}

bool gil_snapshot_take(struct snapshot *snapshot, const struct wanted *wanted)
{
    ASSERT_GIL();
    if (!*gil_under_way()) {
        if (gil_threads_name() < 0)
            return false;
        gil_threads_fold(gil_full());
    }
    uint32_t used = gil_rows_used(); /* threads without the GIL may add to them */
    *snapshot = (struct snapshot){.bytes = sizeof(struct row) * (used + 1)};
    snapshot->rows = hook_map(snapshot->bytes);
    if (!snapshot->rows) {
        PyErr_NoMemory();
        return false;
    }
    ++*gil_under_way();
    bool taken = hook_lock();
    snapshot->clock = rows.clock;
    for (uint32_t i = 1; i < used; i++)
        copy_row(snapshot, i, wanted);
    hook_unlock(taken);
    return true;
}

void gil_snapshot_give_back(const struct snapshot *snapshot)
{
    bool taken = hook_lock();
    for (uint32_t i = 0; i < snapshot->count; i++) {
        struct taken back = hook_taken(&snapshot->rows[i]);
        hook_row_give_back(&back);
    }
    hook_unlock(taken);
}

/* --- tidying ------------------------------------------------------------------------------------------------ */

static uint8_t stack_in_use[STACK_LIMIT + 1];

static void gil_give_up(uint64_t shown, bool taken_ones)
{
    memset(stack_in_use, 0, sizeof stack_in_use);
    memset(stack_in_use, 1, STACK_FIRST);
    bool taken = hook_lock();
    hook_rows_give_up(shown, taken_ones);
    for (uint32_t i = 1; i < rows.pool.used; i++)
        stack_in_use[hook_row_at(i)->stack] = 1;
    hook_lifetimes_give_up(stack_in_use);
    hook_unlock(taken);
    for (uint32_t i = STACK_FIRST; i < stacks.stacks.used; i++)
        if (hook_stack_at(i)->used && !stack_in_use[i])
            hook_stack_give_up(i);
}

/* Of entries that are in use; frames and code objects come with their stacks. */
static size_t gil_busy_bytes(void)
{
    bool taken = hook_lock();
    size_t bytes = hook_pool_busy(&rows.pool) + hook_pool_busy(&lifetimes.pool) + hook_stacks_busy();
    hook_unlock(taken);
    return bytes;
}

static void gil_tidy(uint64_t shown)
{
    gil_stacks_release_codes();
    bool full = gil_full();
    ++*hook_guard(); /* a signal handler's C allocations must not find the stacks in change */
    if (full || gil_busy_bytes() > TABLES_ROOM)
        gil_give_up(shown, !full && gil_busy_bytes() <= TABLES_MOST);
    --*hook_guard();
    gil_stacks_drop();
}

void gil_snapshot_drop(struct snapshot *snapshot)
{
    hook_unmap(snapshot->rows, snapshot->bytes);
    unsigned *count = gil_under_way();
    *count -= *count > 0;
    if (!*count)
        gil_tidy(snapshot->clock);
}
