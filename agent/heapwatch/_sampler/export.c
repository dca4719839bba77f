/* Turns the tables into Python objects.
 *
 * Rows come from a snapshot, and objects are made of it in slices; see snapshot.c and slice.c.
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
#include "slice.h"
#include "snapshot.h"
#include "stack_text.h"
#include "stacks.h"
#include "thread_names.h"
#include "threads.h"

#include <string.h>

/* --- rows --------------------------------------------------------------------------------------------------- */

uint64_t gil_stack_id(uint32_t stack, uint32_t caller)
{
    return (uint64_t)caller << CALLER_SHIFT | hook_stack_id(stack);
}

static PyObject *gil_row(const struct row *row)
{
    PyObject *frames = gil_frames(row->caller, row->stack);
    if (!frames)
        return NULL;
    return Py_BuildValue("KNOINdddd", (unsigned long long)gil_stack_id(row->stack, row->caller), frames,
                         hook_stack_at(row->stack)->truncated ? Py_True : Py_False, row->label,
                         gil_thread_name(row->thread), row->live_objects, row->live_bytes, row->alloc_objects,
                         row->alloc_bytes);
}

static PyObject *gil_total(const struct row *row)
{
    return Py_BuildValue("KINdddd", (unsigned long long)gil_stack_id(row->stack, row->caller), row->label,
                         gil_thread_name(row->thread), row->live_objects, row->live_bytes, row->alloc_objects,
                         row->alloc_bytes);
}

static PyObject *gil_list(const struct snapshot *snapshot, PyObject *(*make)(const struct row *))
{
    struct slice slice;
    gil_slice_begin(&slice);
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list && i < snapshot->count; i++) {
        PyObject *item = make(&snapshot->rows[i]);
        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
        gil_slice_step(&slice);
    }
    return list;
}

PyObject *gil_export(uint64_t since, bool live, uint32_t own)
{
    struct snapshot snapshot;
    struct wanted wanted = {.since = since, .live = live, .own = own};
    if (!gil_snapshot_take(&snapshot, &wanted))
        return NULL;
    PyObject *list = gil_list(&snapshot, gil_row);
    gil_snapshot_drop(&snapshot);
    return list;
}

PyObject *gil_totals(bool live, uint32_t own)
{
    struct snapshot snapshot;
    struct wanted wanted = {.live = live, .own = own};
    if (!gil_snapshot_take(&snapshot, &wanted))
        return NULL;
    PyObject *list = gil_list(&snapshot, gil_total);
    double own_bytes = snapshot.own_bytes;
    gil_snapshot_drop(&snapshot);
    return list ? Py_BuildValue("Nd", list, own_bytes) : NULL;
}

/* One row of gil_levels(), without padding. */
struct level {
    uint64_t stack;
    double bytes, objects;
};

PyObject *gil_levels(uint32_t own)
{
    struct snapshot snapshot;
    struct wanted wanted = {.live = true, .own = own};
    if (!gil_snapshot_take(&snapshot, &wanted))
        return NULL;
    PyObject *levels = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(sizeof(struct level) * snapshot.count));
    for (uint32_t i = 0; levels && i < snapshot.count; i++) {
        const struct row *row = &snapshot.rows[i];
        struct level level = {gil_stack_id(row->stack, row->caller), row->live_bytes, row->live_objects};
        memcpy(PyBytes_AS_STRING(levels) + sizeof level * i, &level, sizeof level);
    }
    double own_bytes = snapshot.own_bytes;
    gil_snapshot_drop(&snapshot);
    return levels ? Py_BuildValue("Nd", levels, own_bytes) : NULL;
}

PyObject *gil_frames_of(uint64_t id)
{
    uint32_t stack = hook_stack_of_id(id & ((1ull << CALLER_SHIFT) - 1));
    return stack ? gil_frames((uint32_t)(id >> CALLER_SHIFT), stack) : PyTuple_New(0);
}

/* --- single samples ---------------------------------------------------------------------------------------- */

/* Of each row the place of its stack among those asked for, from 1; 0: it is none of them. */
static void number_rows(uint8_t *numbers, uint32_t used, const uint64_t *ids, uint32_t stacks)
{
    for (uint32_t i = 1; i < used; i++) {
        const struct row *row = hook_row_at(i);
        uint64_t id = row->stack && row->samples ? gil_stack_id(row->stack, row->caller) : 0;
        for (uint32_t n = 0; id && n < stacks; n++)
            if (ids[n] == id)
                numbers[i] = (uint8_t)(n + 1);
    }
}

/* Reservoir sampling (Vitter 1985, algorithm R); `found` samples of the stack came before. */
static void keep_copy(struct sample_copies *copies, uint32_t stack, const struct sample *sample)
{
    uint32_t found = copies->counts[stack]++;
    double place = found < copies->limit ? found : hook_random_unit(&live.random) * (found + 1.0);
    if (place < copies->limit)
        copies->samples[stack * copies->limit + (uint32_t)place] = *sample;
}

bool gil_copy_samples(const uint64_t *ids, uint32_t stacks, uint32_t limit, struct sample_copies *copies)
{
    size_t places = (size_t)stacks * limit;
    uint32_t used = gil_rows_used();
    *copies = (struct sample_copies){.limit = limit, .bytes = sizeof(struct sample) * places + used};
    copies->samples = hook_map(copies->bytes);
    if (!copies->samples)
        return false;
    uint8_t *numbers = (uint8_t *)(copies->samples + places);
    bool taken = hook_lock();
    number_rows(numbers, used, ids, stacks);
    for (uint32_t i = 1; i < live.samples.used; i++) {
        const struct sample *sample = hook_pool_at(&live.samples, i);
        uint32_t number = sample->address && sample->row < used ? numbers[sample->row] : 0;
        if (number)
            keep_copy(copies, number - 1, sample);
    }
    hook_unlock(taken);
    for (uint32_t n = 0; n < stacks; n++)
        copies->counts[n] = copies->counts[n] < limit ? copies->counts[n] : limit;
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
    if (!gil_copy_samples(&stack_id, 1, limit > LIVE_LIMIT ? LIVE_LIMIT : (uint32_t)limit, &copies))
        return PyErr_NoMemory();
    PyObject *samples = PyList_New(copies.counts[0]);
    for (uint32_t i = 0; samples && i < copies.counts[0]; i++) {
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

/* What threads without the GIL change meanwhile. */
struct figures {
    struct live live;
    uint64_t clock, rows, callers, lifetimes, scopes; /* the last four: refused */
    uint64_t own_bytes;
};

static struct figures gil_copy_figures(void)
{
    bool taken = hook_lock();
    struct figures copy = {live, rows.clock, rows.refused, callers.refused, lifetimes.refused, hook_scopes_refused,
                           hook_counted_bytes() + hook_pool_bytes(&live.samples) + hook_pool_bytes(&rows.pool) +
                               hook_stacks_bytes() + hook_pool_bytes(&lifetimes.pool) + hook_pool_bytes(&callers.pool)};
    hook_unlock(taken);
    return copy;
}

PyObject *gil_stats(void)
{
    ASSERT_GIL();
    bool intact = gil_install_check();
    struct figures figures = gil_copy_figures();
    struct live now = figures.live;
    return Py_BuildValue(
        "{sisisIsIsKsIsIsKsKsKsKsKsKsKsKsKsKsKsKsisisIsdsdsdsdsdsdsdsdsK}", "enabled", (int)hooks.enabled, "native", (int)hooks.native, "interval", now.interval,
        "max_depth", hooks.max_depth, "samples", now.drawn, "live_samples", now.count, "pre_fork_samples", now.inherited,
        "dropped_table_full", now.full, "dropped_displaced", now.displaced, "dropped_stacks", stacks.refused,
        "dropped_rows", figures.rows, "dropped_callers", figures.callers, "dropped_lifetimes", figures.lifetimes, "dropped_interrupted",
        (unsigned long long)hook_lock_refused, "dropped_scopes", figures.scopes,
        "thinned", now.thinned, "interval_doublings", now.doublings, "own_bytes",
        figures.own_bytes, "padding_bytes", hooks.pad ? now.padding : (uint64_t)0, "hooks_intact", (int)intact,
        "watches_frees", (int)install.watches_frees, "rewraps", install.rewraps, "incomplete_since",
        install.incomplete_since, "allocated_bytes", now.alloc_bytes, "allocations", now.alloc_objects, "live_bytes",
        now.live_bytes, "live_objects", now.live_objects, "started", hooks.started, "peak_bytes", now.peak_bytes, "peak_time",
        hooks.started + (double)now.peak_tick / TICKS_PER_SECOND, "clock", figures.clock);
}

PyObject *gil_high_water(void)
{
    ASSERT_GIL();
    if (!hooks.enabled)
        Py_RETURN_NONE;
    bool taken = hook_lock(); /* threads without the GIL move both */
    double now = live.live_bytes, highest = live.high_water;
    live.high_water = now;
    hook_unlock(taken);
    return Py_BuildValue("dd", now, highest);
}
