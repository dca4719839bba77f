/* Turns the tables into Python objects, and tidies them at the same safe point.
 *
 * Numbers are copied first, under the table lock and without a call; Python objects are made from the copy.
 * Making objects allocates, so it may sample, collect garbage and switch threads: the tables may gain entries
 * meanwhile, but none is taken away before the last export that is under way ends.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include "export.h"

#include "asserts.h"
#include "callers.h"
#include "hooks.h"
#include "install.h"
#include "lifetimes.h"
#include "live.h"
#include "lock.h"
#include "native.h"
#include "stack_text.h"
#include "stacks.h"
#include "thread_names.h"
#include "threads.h"

#include <string.h>

static unsigned exports_under_way;

struct snapshot {
    struct row *rows; /* own mapping */
    size_t bytes;
    uint32_t count;
    uint64_t clock;
};

static bool gil_take_snapshot(struct snapshot *snapshot, uint64_t since)
{
    snapshot->bytes = sizeof(struct row) * rows.pool.used;
    snapshot->rows = hook_map(snapshot->bytes);
    if (!snapshot->rows) {
        PyErr_NoMemory();
        return false;
    }
    uint32_t used = rows.pool.used;
    bool taken = hook_lock();
    snapshot->count = 0;
    snapshot->clock = rows.clock;
    for (uint32_t i = 1; i < used; i++) {
        const struct row *row = hook_row_at(i);
        if (!row->stack || row->changed <= since)
            continue;
        snapshot->rows[snapshot->count] = *row;
        hook_row_since_fork(&snapshot->rows[snapshot->count++]);
    }
    hook_unlock(taken);
    return true;
}

uint64_t gil_stack_id(uint32_t stack, uint32_t caller)
{
    return (uint64_t)caller << CALLER_SHIFT | hook_stack_id(stack);
}

static PyObject *gil_row(const struct row *row)
{
    ASSERT_GIL();
    PyObject *frames = row->caller ? gil_native_frames(row->caller, row->stack) : gil_stack_frames(row->stack);
    if (!frames)
        return NULL;
    return Py_BuildValue("KNOINdddd", (unsigned long long)gil_stack_id(row->stack, row->caller), frames,
                         hook_stack_at(row->stack)->truncated ? Py_True : Py_False, row->label,
                         gil_thread_name(row->thread), row->live_objects, row->live_bytes, row->alloc_objects,
                         row->alloc_bytes);
}

static PyObject *gil_rows(const struct snapshot *snapshot)
{
    PyObject *list = PyList_New(snapshot->count);
    for (uint32_t i = 0; list && i < snapshot->count; i++) {
        PyObject *row = gil_row(&snapshot->rows[i]);
        if (!row)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, row);
    }
    return list;
}

/* --- tidying -------------------------------------------------------------------------------------------- */

static uint8_t stack_in_use[STACK_LIMIT + 1];

static void gil_give_up(uint64_t shown)
{
    memset(stack_in_use, 0, sizeof stack_in_use);
    stack_in_use[STACK_NONE] = stack_in_use[STACK_OVERFLOW] = stack_in_use[STACK_RAW] = 1;
    bool taken = hook_lock();
    hook_rows_give_up(shown);
    for (uint32_t i = 1; i < rows.pool.used; i++)
        stack_in_use[hook_row_at(i)->stack] = 1;
    hook_lifetimes_give_up(stack_in_use);
    hook_unlock(taken);
    for (uint32_t i = 1; i < stacks.stacks.used; i++)
        if (hook_stack_at(i)->used && !stack_in_use[i])
            hook_stack_give_up(i);
}

static bool gil_crowded(void)
{
    return hook_stacks_crowded() || hook_rows_crowded();
}

PyObject *gil_export(uint64_t since)
{
    ASSERT_GIL();
    struct snapshot snapshot;
    if (gil_threads_name() < 0)
        return NULL;
    gil_threads_fold(gil_crowded());
    if (!gil_take_snapshot(&snapshot, since))
        return NULL;
    exports_under_way++;
    PyObject *list = gil_rows(&snapshot);
    if (list && gil_stacks_release_codes() < 0)
        Py_CLEAR(list);
    exports_under_way--;
    hook_unmap(snapshot.rows, snapshot.bytes);
    if (!exports_under_way) {
        ++*hook_guard(); /* a signal handler's C allocations must not find the stacks in change */
        if (list && gil_crowded())
            gil_give_up(snapshot.clock);
        --*hook_guard();
        gil_stacks_drop();
    }
    return list;
}

/* --- single samples ---------------------------------------------------------------------------------------- */

bool gil_copy_samples(uint64_t stack_id, uint32_t limit, struct sample_copies *copies)
{
    uint32_t caller = (uint32_t)(stack_id >> CALLER_SHIFT), found = 0;
    uint32_t stack = hook_stack_of_id(stack_id & ((1ull << CALLER_SHIFT) - 1));
    copies->bytes = sizeof(struct sample) * limit;
    copies->samples = hook_map(copies->bytes);
    if (!copies->samples)
        return false;
    bool taken = hook_lock();
    for (uint32_t i = 1; stack && i < live.samples.used; i++) {
        const struct sample *sample = hook_pool_at(&live.samples, i);
        if (!sample->address || !sample->row || hook_row_at(sample->row)->stack != stack ||
            hook_row_at(sample->row)->caller != caller)
            continue;
        double place = found < limit ? found : hook_random_unit(&live.random) * (found + 1.0);
        if (place < limit)
            copies->samples[(uint32_t)place] = *sample; /* reservoir sampling (Vitter 1985, algorithm R) */
        found++;
    }
    hook_unlock(taken);
    copies->count = found < limit ? found : limit;
    return true;
}

void gil_free_copies(struct sample_copies *copies)
{
    hook_unmap(copies->samples, copies->bytes);
}

static PyObject *gil_sample(const struct sample *sample)
{
    return Py_BuildValue("KKdI", (unsigned long long)sample->address, (unsigned long long)sample->size,
                         hooks.started + (double)sample->birth / TICKS_PER_SECOND, hook_row_at(sample->row)->label);
}

PyObject *gil_live_samples(uint64_t stack_id, Py_ssize_t limit)
{
    ASSERT_GIL();
    struct sample_copies copies;
    if (limit <= 0)
        return PyList_New(0);
    if (!gil_copy_samples(stack_id, limit > LIVE_LIMIT ? LIVE_LIMIT : (uint32_t)limit, &copies))
        return PyErr_NoMemory();
    PyObject *samples = PyList_New(copies.count);
    for (uint32_t i = 0; samples && i < copies.count; i++) {
        PyObject *item = gil_sample(&copies.samples[i]);
        if (!item)
            Py_CLEAR(samples);
        else
            PyList_SET_ITEM(samples, i, item);
    }
    gil_free_copies(&copies);
    return samples;
}

/* --- figures ------------------------------------------------------------------------------------------------- */

static size_t gil_own_bytes(void)
{
    return hook_counted_bytes() + hook_pool_bytes(&live.samples) + hook_pool_bytes(&rows.pool) + hook_stacks_bytes() +
           hook_pool_bytes(&callers.pool) + hook_pool_bytes(&lifetimes.pool);
}

static struct live gil_copy_live(void)
{
    bool taken = hook_lock();
    struct live copy = live;
    hook_unlock(taken);
    return copy;
}

PyObject *gil_stats(void)
{
    ASSERT_GIL();
    bool intact = gil_install_check();
    struct live now = gil_copy_live();
    return Py_BuildValue(
        "{sisisIsIsKsIsIsKsKsKsKsKsKsKsKsKsKsKsisisIsdsdsdsdsdsdsK}", "enabled", (int)hooks.enabled, "native", (int)hooks.native, "interval", now.interval,
        "max_depth", hooks.max_depth, "samples", now.drawn, "live_samples", now.count, "pre_fork_samples", now.inherited,
        "dropped_table_full", now.full, "dropped_displaced", now.displaced, "dropped_stacks", stacks.refused,
        "dropped_rows", rows.refused, "dropped_callers", callers.refused, "dropped_lifetimes", lifetimes.refused, "dropped_interrupted",
        (unsigned long long)hook_lock_refused,
        "thinned", now.thinned, "interval_doublings", now.doublings, "own_bytes",
        (unsigned long long)gil_own_bytes(), "padding_bytes", hooks.pad ? now.padding : (uint64_t)0, "hooks_intact", (int)intact,
        "watches_frees", (int)install.watches_frees, "rewraps", install.rewraps, "incomplete_since",
        install.incomplete_since, "allocated_bytes", now.alloc_bytes, "allocations", now.alloc_objects, "live_bytes",
        now.live_bytes, "live_objects", now.live_objects, "started", hooks.started, "clock", rows.clock);
}
