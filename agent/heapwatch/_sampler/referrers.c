/* Which of all objects refer to some others: one traversal of each, with a hash look-up per reference.
 *
 * `gc.get_referrers` compares each reference with each target, and `gc.get_referents` makes a list of them all; with
 * hundreds of targets in a heap of a hundred thousand objects this is faster than both by more than ten times.
 *
 * Objects are reached by a walk (walk.c), and through tuples, and containers that the collector doesn't track (a dict
 * of atoms), from each of them. From the first traversal of a step until the last nothing is allocated from Python, so
 * no garbage collection or finalizer changes a container while it is traversed. References are taken to nothing but
 * what is found.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include "layout.h"

#include "referrers.h"

#include "memory.h"

#define MATCH_LIMIT (1u << 16)
#define NESTING_LIMIT 8 /* of tuples and untracked containers in each other */
#define SEEN_ORDER 14

struct match {
    PyObject *holder; /* new reference */
    uint32_t target, references;
};

struct scan {
    struct match *matches; /* own mapping */
    PyObject **seen;       /* own mapping: tuples by hash, so that what many share isn't traversed for each */
    uint32_t *slots;       /* own mapping: number of the target + 1 by hash of its address */
    PyObject *targets;     /* list */
    PyObject *holder;      /* whose references are being visited */
    uint32_t count, first; /* matches; the first of this holder */
    unsigned order;        /* log2 of the number of slots */
    unsigned nesting;
};

static size_t gil_slot(const struct scan *scan, const PyObject *object)
{
    return (size_t)(((uint64_t)((uintptr_t)object >> 4) * 0x9e3779b97f4a7c15u) >> (64 - scan->order));
}

static void gil_enter_targets(struct scan *scan)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(scan->targets); i++) {
        size_t slot = gil_slot(scan, PyList_GET_ITEM(scan->targets, i));
        while (scan->slots[slot])
            slot = (slot + 1) & (((size_t)1 << scan->order) - 1);
        scan->slots[slot] = (uint32_t)i + 1;
    }
}

static void gil_add_match(struct scan *scan, uint32_t target)
{
    for (uint32_t i = scan->count; i-- > scan->first;)
        if (scan->matches[i].target == target && scan->matches[i].holder == scan->holder) {
            scan->matches[i].references++;
            return;
        }
    if (scan->count < MATCH_LIMIT)
        scan->matches[scan->count++] = (struct match){Py_NewRef(scan->holder), target, 1};
}

/* Whether the container was traversed already; else it counts as seen from now on. */
static bool gil_seen(struct scan *scan, PyObject *object)
{
    PyObject **place = &scan->seen[(uint64_t)((uintptr_t)object >> 4) * 0x9e3779b97f4a7c15u >> (64 - SEEN_ORDER)];
    bool seen = *place == object;
    *place = object;
    return seen;
}

/* Called by tp_traverse for each object that the traversed one refers to; never ends the traversal. */
static int gil_visit(PyObject *object, void *argument)
{
    struct scan *scan = argument;
    size_t mask = ((size_t)1 << scan->order) - 1;
    for (size_t slot = gil_slot(scan, object); scan->slots[slot]; slot = (slot + 1) & mask)
        if (PyList_GET_ITEM(scan->targets, scan->slots[slot] - 1) == object) {
            gil_add_match(scan, scan->slots[slot] - 1);
            break;
        }
    bool passed_over = PyTuple_CheckExact(object) || (PyObject_IS_GC(object) && !_PyObject_GC_IS_TRACKED(object));
    if (passed_over && Py_TYPE(object)->tp_traverse && scan->nesting < NESTING_LIMIT && !gil_seen(scan, object)) {
        PyObject *outer = scan->holder;
        scan->holder = object;
        scan->nesting++;
        gil_traverse(object, gil_visit, scan);
        scan->nesting--;
        scan->holder = outer;
    }
    return 0;
}

static void gil_look(struct scan *scan, PyObject *object)
{
    if (object == scan->targets || !Py_TYPE(object)->tp_traverse)
        return;
    scan->holder = object;
    scan->first = scan->count;
    gil_traverse(object, gil_visit, scan);
}

/* Enough matches for one call: there is room for as many as one object can add. */
static bool gil_has_plenty(const struct scan *scan)
{
    return scan->count >= MATCH_LIMIT / 2;
}

static PyObject *gil_list_matches(const struct scan *scan)
{
    PyObject *list = PyList_New(scan->count);
    for (uint32_t i = 0; i < scan->count; i++) {
        const struct match *match = &scan->matches[i];
        PyObject *item = list ? Py_BuildValue("OII", match->holder, match->target, match->references) : NULL;
        Py_DECREF(match->holder);
        if (item)
            PyList_SET_ITEM(list, i, item);
        else
            Py_CLEAR(list);
    }
    return list;
}

static bool gil_open(struct scan *scan)
{
    scan->order = 6;
    while ((Py_ssize_t)1 << scan->order < 4 * PyList_GET_SIZE(scan->targets))
        scan->order++;
    scan->matches = hook_map(sizeof(struct match) * MATCH_LIMIT);
    scan->slots = hook_map(sizeof(uint32_t) << scan->order);
    scan->seen = hook_map(sizeof(PyObject *) << SEEN_ORDER);
    if (!scan->matches || !scan->slots || !scan->seen) {
        PyErr_NoMemory();
        return false;
    }
    gil_enter_targets(scan);
    return true;
}

static void gil_close(struct scan *scan)
{
    if (scan->matches)
        hook_unmap(scan->matches, sizeof(struct match) * MATCH_LIMIT);
    if (scan->slots)
        hook_unmap(scan->slots, sizeof(uint32_t) << scan->order);
    if (scan->seen)
        hook_unmap(scan->seen, sizeof(PyObject *) << SEEN_ORDER);
}

PyObject *gil_referrers(struct walk *walk, PyObject *targets, double seconds)
{
    struct scan scan = {.targets = targets};
    PyObject *list = NULL;
    if (gil_open(&scan)) {
        struct step step;
        gil_step_begin(&step, walk, seconds);
        for (PyObject *object; !gil_has_plenty(&scan) && (object = gil_step_next(&step));)
            gil_look(&scan, object);
        gil_step_end(&step);
        list = gil_list_matches(&scan);
    }
    gil_close(&scan);
    return list;
}
