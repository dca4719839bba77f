/* Shows how long blocks lived, and how old those are that live.
 *
 * Numbers are copied first, under the table lock and without a call; Python objects are made from the copy. Ages
 * of live blocks aren't kept but counted here, a slice of the samples at a time, so that no thread waits long for
 * the lock.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include "ages.h"

#include "asserts.h"
#include "export.h"
#include "hooks.h"
#include "lifetimes.h"
#include "live.h"
#include "lock.h"

#define SLICE 4096 /* samples */

struct shown {
    uint64_t id; /* 0: not to be shown */
    struct ages ended, live;
};

struct showing {
    struct shown *all; /* own mapping, by number of the entry */
    uint32_t limit;    /* entries that there were */
    size_t bytes;
};

static bool gil_wanted(uint64_t id, const uint64_t *ids, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++)
        if (ids[i] == id)
            return true;
    return !ids;
}

/* Entries for live blocks of which none has ended yet are made here, so that stacks that only grow are shown. */
static void gil_show_entries(struct showing *showing, const uint64_t *ids, Py_ssize_t count)
{
    bool taken = hook_lock();
    for (uint32_t i = 1; i < rows.pool.used; i++) {
        struct row *row = hook_row_at(i);
        if (row->stack && row->samples && !row->lifetimes)
            row->lifetimes = hook_lifetimes_find(row->stack, row->caller);
    }
    showing->limit = lifetimes.pool.used;
    for (uint32_t i = 1; i < showing->limit; i++) {
        const struct lifetimes_of *entry = hook_lifetimes_at(i);
        uint64_t id = entry->stack ? gil_stack_id(entry->stack, entry->caller) : 0;
        if (!id || !gil_wanted(id, ids, count))
            continue;
        showing->all[i].id = id;
        showing->all[i].ended = *hook_lifetimes_ended(i);
    }
    hook_unlock(taken);
}

static void gil_add_live(struct showing *showing, const struct sample *sample, uint32_t now)
{
    uint32_t index = sample->address && sample->row ? hook_row_at(sample->row)->lifetimes : 0;
    if (index && index < showing->limit && showing->all[index].id)
        hook_age_add(&showing->all[index].live, hook_age_bucket(sample->birth, now),
                     hook_weight(sample->size, sample->interval), 1);
}

/* Samples from number `first` on; false: these were the last. */
static bool gil_show_slice(struct showing *showing, uint32_t first, uint32_t now)
{
    bool taken = hook_lock(), more = live.samples.used > first + SLICE;
    for (uint32_t i = first; i < (more ? first + SLICE : live.samples.used); i++) {
        const struct sample *sample = hook_pool_at(&live.samples, i);
        if ((int32_t)(now - sample->birth) >= 0) /* not of those that came meanwhile */
            gil_add_live(showing, sample, now);
    }
    hook_unlock(taken);
    return more;
}

static void gil_show_live(struct showing *showing)
{
    uint32_t now = hook_tick();
    for (uint32_t first = 1; gil_show_slice(showing, first, now); first += SLICE)
        continue;
}

static PyObject *gil_tuple(const double *totals)
{
    Py_ssize_t count = AGE_BUCKETS;
    while (count && totals[count - 1] <= 0)
        count--;
    PyObject *tuple = PyTuple_New(count);
    for (Py_ssize_t i = 0; tuple && i < count; i++) {
        PyObject *total = PyFloat_FromDouble(totals[i] > 0 ? totals[i] : 0);
        if (!total)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, i, total);
    }
    return tuple;
}

static PyObject *gil_list(const struct showing *showing)
{
    PyObject *list = PyList_New(0);
    for (uint32_t i = 1; list && i < showing->limit; i++) {
        const struct shown *shown = &showing->all[i];
        if (!shown->id)
            continue;
        PyObject *item = Py_BuildValue("KNNNN", (unsigned long long)shown->id, gil_tuple(shown->ended.objects),
                                       gil_tuple(shown->ended.bytes), gil_tuple(shown->live.objects),
                                       gil_tuple(shown->live.bytes));
        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

PyObject *gil_lifetimes(const uint64_t *ids, Py_ssize_t count)
{
    ASSERT_GIL();
    struct showing showing = {.bytes = sizeof(struct shown) * (LIFETIME_LIMIT + 1)};
    showing.all = hook_map(showing.bytes); /* resident where it is written to */
    if (!showing.all)
        return PyErr_NoMemory();
    gil_show_entries(&showing, ids, count);
    gil_show_live(&showing);
    PyObject *list = gil_list(&showing);
    hook_unmap(showing.all, showing.bytes);
    return list;
}
