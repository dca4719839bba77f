/* Which of many objects refer to which of some others: one traversal of each, with a hash look-up per reference.
 *
 * `gc.get_referrers` compares each reference with each target, and `gc.get_referents` makes a list of them all; with
 * hundreds of targets in a heap of a hundred thousand objects this is faster than both by more than ten times.
 *
 * Objects are reached from `heap`, a list of objects that the garbage collector tracks, and through containers that
 * it doesn't track (a tuple or dict of atoms) from each of them. From the first traversal until the last nothing is
 * allocated from Python, so no garbage collection or finalizer changes a container while it is traversed.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include "layout.h"

#include "referrers.h"

#include "asserts.h"
#include "memory.h"

#include <sys/mman.h>

#define MATCH_LIMIT (1u << 16)
#define NESTING_LIMIT 8 /* of untracked containers in each other */

struct match {
    PyObject *holder; /* new reference */
    uint32_t target, references;
};

struct scan {
    struct match *matches; /* own mapping */
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
    bool untracked = PyObject_IS_GC(object) && !_PyObject_GC_IS_TRACKED(object) && Py_TYPE(object)->tp_traverse;
    if (untracked && scan->nesting < NESTING_LIMIT) {
        PyObject *outer = scan->holder;
        scan->holder = object;
        scan->nesting++;
        Py_TYPE(object)->tp_traverse(object, gil_visit, scan);
        scan->nesting--;
        scan->holder = outer;
    }
    return 0;
}

static Py_ssize_t gil_scan(struct scan *scan, PyObject *heap, Py_ssize_t begin, Py_ssize_t end)
{
    for (; begin < end && scan->count < MATCH_LIMIT / 2; begin++) {
        PyObject *object = PyList_GET_ITEM(heap, begin);
        if (object == heap || object == scan->targets || !Py_TYPE(object)->tp_traverse)
            continue;
        scan->holder = object;
        scan->first = scan->count;
        Py_TYPE(object)->tp_traverse(object, gil_visit, scan);
    }
    return begin;
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

PyObject *gil_referrers(PyObject *heap, Py_ssize_t begin, Py_ssize_t end, PyObject *targets)
{
    ASSERT_GIL();
    struct scan scan = {.targets = targets, .order = 6};
    while ((Py_ssize_t)1 << scan.order < 4 * PyList_GET_SIZE(targets))
        scan.order++;
    size_t match_bytes = sizeof(struct match) * MATCH_LIMIT, slot_bytes = sizeof(uint32_t) << scan.order;
    scan.matches = hook_map(match_bytes);
    scan.slots = hook_map(slot_bytes);
    PyObject *list = NULL;
    if (scan.matches && scan.slots) {
        gil_enter_targets(&scan);
        Py_ssize_t size = PyList_GET_SIZE(heap);
        begin = gil_scan(&scan, heap, begin < 0 ? 0 : begin, end < size ? end : size);
        list = gil_list_matches(&scan);
    } else {
        PyErr_NoMemory();
    }
    if (scan.matches)
        munmap(scan.matches, match_bytes);
    if (scan.slots)
        munmap(scan.slots, slot_bytes);
    return list ? Py_BuildValue("Nn", list, begin) : NULL;
}
