/* Which of many objects refer to which of some others: one traversal of each, with a hash look-up per reference.
 *
 * `gc.get_referrers` compares each reference with each target, and `gc.get_referents` makes a list of them all; with
 * hundreds of targets in a heap of a hundred thousand objects this is faster than both by more than ten times.
 *
 * Objects are reached from `heap`, a list of objects that the garbage collector tracks, and through tuples, and
 * containers that it doesn't track (a dict of atoms), from each of them. Tuples are not in the list itself, for a
 * second reference fails whoever is still building one (gh-59313); one under construction is referred to by nothing
 * that is reached. From the first traversal until the last nothing is
 * allocated from Python, so no garbage collection or finalizer changes a container while it is traversed.
 *
 * Frozen objects (gc.freeze) are in no generation, so no list of them can be had; they are walked along the collector's
 * own links instead. That also takes no reference to any of them but those that are found: a heap is frozen so that
 * forked processes share its pages, and each reference taken would copy a page.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include "layout.h"

#include "referrers.h"

#include "asserts.h"
#include "memory.h"

#include <sys/mman.h>

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
        Py_TYPE(object)->tp_traverse(object, gil_visit, scan);
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
    Py_TYPE(object)->tp_traverse(object, gil_visit, scan);
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

PyObject *gil_containers(int generation)
{
    ASSERT_GIL();
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *list = gc ? PyObject_CallMethod(gc, "get_objects", "i", generation) : NULL;
    Py_XDECREF(gc);
    if (!list)
        return NULL;
    /* From the call's return to here no other thread ran, and each of these references is one of several. */
    Py_ssize_t kept = 0, size = PyList_GET_SIZE(list);
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *object = PyList_GET_ITEM(list, i);
        if (PyTuple_CheckExact(object))
            Py_DECREF(object);
        else
            PyList_SET_ITEM(list, kept++, object);
    }
    Py_SET_SIZE(list, kept);
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
        munmap(scan->matches, sizeof(struct match) * MATCH_LIMIT);
    if (scan->slots)
        munmap(scan->slots, sizeof(uint32_t) << scan->order);
    if (scan->seen)
        munmap(scan->seen, sizeof(PyObject *) << SEEN_ORDER);
}

PyObject *gil_referrers(PyObject *heap, Py_ssize_t begin, Py_ssize_t end, PyObject *targets)
{
    ASSERT_GIL();
    struct scan scan = {.targets = targets};
    PyObject *list = NULL;
    if (gil_open(&scan)) {
        end = end < PyList_GET_SIZE(heap) ? end : PyList_GET_SIZE(heap);
        for (begin = begin < 0 ? 0 : begin; begin < end && !gil_has_plenty(&scan); begin++)
            if (PyList_GET_ITEM(heap, begin) != heap)
                gil_look(&scan, PyList_GET_ITEM(heap, begin));
        list = gil_list_matches(&scan);
    }
    gil_close(&scan);
    return list ? Py_BuildValue("Nn", list, begin) : NULL;
}

PyObject *gil_frozen_referrers(PyObject *after, Py_ssize_t count, PyObject *targets)
{
    ASSERT_GIL();
    if (after != Py_None && !gil_is_tracked(after)) {
        PyErr_SetString(PyExc_ValueError, "after must be None or what an earlier call returned as the last one");
        return NULL;
    }
    struct scan scan = {.targets = targets};
    PyObject *list = NULL, *last = after == Py_None ? NULL : after;
    if (gil_open(&scan)) {
        for (bool more = true; count > 0 && more && !gil_has_plenty(&scan); count--) {
            PyObject *object = gil_next_frozen(last);
            more = object != NULL;
            if (more && !PyTuple_CheckExact(object))
                gil_look(&scan, object);
            last = object;
        }
        Py_XINCREF(last); /* before anything is allocated: that may free it */
        list = gil_list_matches(&scan);
    }
    gil_close(&scan);
    if (!list)
        return NULL;
    return Py_BuildValue("NN", list, last ? last : Py_NewRef(Py_None));
}
