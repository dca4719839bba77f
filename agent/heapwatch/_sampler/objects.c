/* From sampled blocks back to Python objects.
 *
 * Objects are reached from the list of those that the garbage collector tracks, and from each of them, through
 * its own tp_traverse, the objects it refers to that aren't tracked (str, bytes, float, dicts of such, ...).
 * A live sample of the stack is matched with a reached object
 *   1. when the object lies in the sampled block;
 *   2. else when the object's structure points to the block: the list whose items, the dict whose table, the
 *      deque whose node it is.
 * What nothing reached refers to isn't shown. That leaves out temporaries of C code, rightly: a bytes object
 * that a blocked read is filling must not get a second reference, for its resizing would fail.
 *
 * The same goes for tuples, though the collector knows them from the start: tuple(generator) resizes one that nothing
 * else may refer to (gh-59313). So a tuple is shown only when something reached refers to it.
 *
 * No memory is read because our table says it is alive; only reached objects are read, and they are alive.
 * The list of tracked objects is made first; from then on nothing runs Python code until all references to
 * the matched objects are taken.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include "layout.h"

#include "objects.h"

#include "asserts.h"
#include "export.h"
#include "install.h"
#include "live.h"

#include <string.h>
#include <time.h>

#define CANDIDATE_LIMIT 4096
#define SLOT_ORDER 14   /* 4 slots for each candidate at least */
#define NESTING_LIMIT 8 /* of untracked containers in each other */

struct candidate {
    uintptr_t address;
    bool storage;    /* surely no object: a small block of the MEM domain */
    PyObject *found; /* new reference */
};

struct search {
    struct candidate candidates[CANDIDATE_LIMIT];
    uint16_t slots[1u << SLOT_ORDER]; /* candidate number + 1 */
    uint64_t filter[16];              /* a bit for each of 1024 hash values: most addresses end here */
    uint32_t count, found, limit, nesting;
    bool storage_only;                /* leave candidates that may be objects for later */
    double deadline;
    uint32_t steps;                   /* since the clock was read */
    void (*match)(struct search *search, PyObject *object);
};

/* CPU time of this thread: on a busy machine wall time would run out before anything was looked at. */
static double gil_cpu_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static uint64_t hash_of(uintptr_t address)
{
    return (uint64_t)(address >> 3) * 0x9e3779b97f4a7c15u;
}

static void gil_add_candidate(struct search *search, const struct sample *sample)
{
    uint64_t hash = hash_of(sample->address);
    search->candidates[search->count++] =
        (struct candidate){.address = sample->address, .storage = sample->domain == DOMAIN_MEM};
    search->filter[hash >> 60] |= 1ull << (hash >> 54 & 63);
    uint32_t slot = (uint32_t)(hash >> (64 - SLOT_ORDER));
    while (search->slots[slot])
        slot = (slot + 1) & ((1u << SLOT_ORDER) - 1);
    search->slots[slot] = (uint16_t)search->count;
}

static struct candidate *gil_candidate_at(struct search *search, uintptr_t address)
{
    uint64_t hash = hash_of(address);
    if (likely(!(search->filter[hash >> 60] & 1ull << (hash >> 54 & 63))))
        return NULL;
    uint32_t slot = (uint32_t)(hash >> (64 - SLOT_ORDER));
    for (; search->slots[slot]; slot = (slot + 1) & ((1u << SLOT_ORDER) - 1))
        if (search->candidates[search->slots[slot] - 1].address == address)
            return &search->candidates[search->slots[slot] - 1];
    return NULL;
}

static void gil_match_address(struct search *search, uintptr_t address, PyObject *object)
{
    struct candidate *candidate = gil_candidate_at(search, address);
    if (likely(!candidate) || candidate->found || search->found == search->limit)
        return;
    if (search->storage_only && !candidate->storage)
        return;
    candidate->found = Py_NewRef(object);
    search->found++;
}

static void gil_match_block(struct search *search, PyObject *object)
{
    gil_match_address(search, gil_block_of_object(object), object);
}

/* A str may be shorter than its type's structure, so only types are read that surely aren't. */
static void gil_match_storage(struct search *search, PyObject *object)
{
    if (!PyObject_IS_GC(object) && !PyByteArray_Check(object))
        return;
    const uintptr_t *words = (const uintptr_t *)object;
    size_t count = (size_t)Py_TYPE(object)->tp_basicsize / sizeof *words;
    for (size_t word = sizeof(PyObject) / sizeof *words; word < count; word++)
        gil_match_address(search, words[word], object);
    uintptr_t values = gil_block_of_values(object);
    if (values)
        gil_match_address(search, values, object);
}

static bool gil_finished(struct search *search)
{
    if (search->found == search->limit || search->found == search->count)
        return true;
    if (++search->steps % 4096 == 0 && gil_cpu_now() > search->deadline)
        search->limit = search->found;
    return false;
}

/* The fields of built-in types that surely own what they point to. */
static void gil_match_items(struct search *search, PyObject *object)
{
    if (PyList_Check(object))
        gil_match_address(search, (uintptr_t)((PyListObject *)object)->ob_item, object);
    else if (PyDict_Check(object))
        gil_match_address(search, (uintptr_t)((PyDictObject *)object)->ma_keys, object);
    else if (PyAnySet_Check(object))
        gil_match_address(search, (uintptr_t)((PySetObject *)object)->table, object);
}

/* Called by tp_traverse for each object that the traversed one refers to; non-zero ends the traversal. */
static int gil_visit(PyObject *object, void *argument)
{
    struct search *search = argument;
    if (gil_is_tracked(object)) {
        if (PyTuple_CheckExact(object))
            gil_match_block(search, object);
        return gil_finished(search);
    }
    search->match(search, object);
    if (PyObject_IS_GC(object) && Py_TYPE(object)->tp_traverse && search->nesting < NESTING_LIMIT) {
        search->nesting++;
        Py_TYPE(object)->tp_traverse(object, gil_visit, search);
        search->nesting--;
    }
    return gil_finished(search);
}

static void gil_match_tracked(struct search *search, PyObject *tracked, void (*match)(struct search *, PyObject *))
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(tracked) && !gil_finished(search); i++)
        if (!PyTuple_CheckExact(PyList_GET_ITEM(tracked, i)))
            match(search, PyList_GET_ITEM(tracked, i));
}

static void gil_match_referents(struct search *search, PyObject *tracked, void (*match)(struct search *, PyObject *))
{
    search->match = match;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(tracked) && !gil_finished(search); i++) {
        PyObject *object = PyList_GET_ITEM(tracked, i);
        if (Py_TYPE(object)->tp_traverse)
            Py_TYPE(object)->tp_traverse(object, gil_visit, search);
    }
}

/* Cheap passes first. An object that merely points to another must not pass as the owner of storage, so what
 * may be an object is looked for as one before its block is taken for storage. */
static void gil_match_all(struct search *search, PyObject *tracked)
{
    gil_match_tracked(search, tracked, gil_match_block);
    gil_match_tracked(search, tracked, gil_match_items);
    search->storage_only = true;
    gil_match_tracked(search, tracked, gil_match_storage);
    search->storage_only = false;
    gil_match_referents(search, tracked, gil_match_block);
    gil_match_tracked(search, tracked, gil_match_storage);
    gil_match_referents(search, tracked, gil_match_storage);
}

/* Objects that own several blocks were found several times; the list shows them once. */
static PyObject *gil_list_found(struct search *search)
{
    PyObject *seen = PySet_New(NULL), *objects = PyList_New(0);
    for (uint32_t i = 0; i < search->count; i++) {
        PyObject *object = search->candidates[i].found, *address = object ? PyLong_FromVoidPtr(object) : NULL;
        int known = address && seen && objects ? PySet_Contains(seen, address) : -1;
        if (object && (known < 0 || (!known && (PySet_Add(seen, address) < 0 || PyList_Append(objects, object) < 0))))
            Py_CLEAR(objects);
        Py_XDECREF(address);
        Py_XDECREF(object);
    }
    Py_XDECREF(seen);
    return objects;
}

static PyObject *gil_tracked_objects(void)
{
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *tracked = gc ? PyObject_CallMethod(gc, "get_objects", NULL) : NULL;
    Py_XDECREF(gc);
    return tracked;
}

static PyObject *gil_search(struct search *search, uint64_t stack_id, Py_ssize_t limit)
{
    PyObject *tracked = gil_tracked_objects();
    if (!tracked)
        return NULL;
    search->limit = limit < CANDIDATE_LIMIT ? (uint32_t)limit : CANDIDATE_LIMIT;
    struct sample_copies copies;
    if (!gil_copy_samples(stack_id, search->limit < CANDIDATE_LIMIT / 4 ? search->limit * 4 : CANDIDATE_LIMIT, &copies)) {
        Py_DECREF(tracked);
        return PyErr_NoMemory();
    }
    for (uint32_t i = 0; i < copies.count; i++)
        gil_add_candidate(search, &copies.samples[i]);
    gil_free_copies(&copies);
    gil_match_all(search, tracked);
    Py_DECREF(tracked);
    return gil_list_found(search);
}

PyObject *gil_objects(uint64_t stack_id, Py_ssize_t limit, double budget)
{
    ASSERT_GIL();
    if (limit <= 0 || !gil_install_check())
        return PyList_New(0);
    struct search *search = hook_map(sizeof *search);
    if (!search)
        return PyErr_NoMemory();
    search->deadline = gil_cpu_now() + budget;
    PyObject *objects = gil_search(search, stack_id, limit);
    hook_unmap(search, sizeof *search);
    return objects;
}
