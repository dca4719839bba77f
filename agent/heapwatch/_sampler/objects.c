/* From sampled blocks back to Python objects.
 *
 * Objects are reached by a walk (walk.c), and from each of them, through its own tp_traverse, the objects it refers to
 * that aren't tracked (str, bytes, float, dicts of such, ...). A live sample is matched with a reached object
 *   1. when the object lies in the sampled block;
 *   2. else when the object's structure points to the block: the list whose items, the dict whose table, the
 *      deque whose node it is.
 * What nothing reached refers to isn't shown. That leaves out temporaries of C code, rightly: a bytes object that a
 * blocked read is filling must not get a second reference, for its resizing would fail.
 *
 * An object that merely points to another must not pass as the owner of storage. So the first round takes as storage
 * what is surely owned (a list's items) and what no object can lie in (the MEM domain), and only a second one what no
 * object was found in.
 *
 * No memory is read because our table says it is alive; only reached objects are read, and they are alive. Between
 * two steps blocks are freed and their addresses used again, so a step looks only for samples that live when it begins.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include "objects.h"

#include "export.h"
#include "hooks.h"
#include "install.h"
#include "live.h"
#include "lock.h"
#include "numpy.h"

#define CANDIDATE_LIMIT 4096
#define SLOT_ORDER 14   /* 4 slots for each candidate at least */
#define NESTING_LIMIT 8 /* of untracked containers in each other */
#define COPIES 4        /* samples looked at for each object wanted: not all of them are objects */

struct candidate {
    uintptr_t address;
    uint32_t birth, row;
    uint16_t stack; /* its number among those wanted */
    bool storage;   /* no object lies in it */
    bool over;      /* found, or freed */
};

struct search {
    struct candidate candidates[CANDIDATE_LIMIT];
    uint16_t slots[1u << SLOT_ORDER]; /* candidate number + 1 */
    uint64_t filter[64];              /* a bit for each of 4096 hash values: most addresses end here */
    PyObject *found[CANDIDATE_LIMIT]; /* of this step: new references */
    uint16_t of[CANDIDATE_LIMIT];     /* the stacks of those */
    uint32_t open[STACKS_AT_ONCE]; /* objects still wanted of each stack */
    uint32_t count, count_found, wanted, nesting;
    bool second;                      /* round: looks for owners of any block */
};

/* Small blocks of the MEM domain, and outside native mode array buffers. */
static bool gil_never_object(const struct sample *sample)
{
    return sample->domain == DOMAIN_MEM || (sample->domain == DOMAIN_MALLOC && !hooks.native);
}

static uint64_t hash_of(uintptr_t address)
{
    return (uint64_t)(address >> 3) * 0x9e3779b97f4a7c15u;
}

/* --- what is looked for -------------------------------------------------------------------------------------- */

static void gil_add_candidate(struct search *search, const struct sample *sample, uint32_t stack)
{
    uint64_t hash = hash_of(sample->address);
    search->candidates[search->count++] = (struct candidate){
        .address = sample->address, .birth = sample->birth, .row = sample->row, .stack = (uint16_t)stack, .storage = gil_never_object(sample)};
    search->filter[hash >> 58] |= 1ull << (hash >> 52 & 63);
    uint32_t slot = (uint32_t)(hash >> (64 - SLOT_ORDER));
    while (search->slots[slot])
        slot = (slot + 1) & ((1u << SLOT_ORDER) - 1);
    search->slots[slot] = (uint16_t)search->count;
}

/* False: no memory. */
static bool gil_add_stacks(struct search *search, const uint64_t *ids, uint32_t count, Py_ssize_t limit)
{
    uint32_t most = CANDIDATE_LIMIT / count, wanted = limit < most ? (uint32_t)limit : most;
    struct sample_copies copies;
    if (!gil_copy_samples(ids, count, wanted < most / COPIES ? wanted * COPIES : most, &copies))
        return false;
    for (uint32_t n = 0; n < count; n++) {
        search->open[n] = wanted;
        search->wanted += copies.counts[n] ? wanted : 0;
        for (uint32_t i = 0; i < copies.counts[n]; i++)
            gil_add_candidate(search, &copies.samples[n * copies.limit + i], n);
    }
    gil_free_copies(&copies);
    return true;
}

struct search *gil_search_open(PyObject *stacks, Py_ssize_t limit)
{
    uint64_t ids[STACKS_AT_ONCE];
    uint32_t count = 0;
    for (; count < PyList_GET_SIZE(stacks) && count < STACKS_AT_ONCE && !PyErr_Occurred(); count++)
        ids[count] = PyLong_AsUnsignedLongLong(PyList_GET_ITEM(stacks, count));
    struct search *search = PyErr_Occurred() ? NULL : hook_map(sizeof *search);
    bool intact = search && count && limit > 0 && gil_install_check();
    if (intact && !gil_add_stacks(search, ids, count, limit)) {
        gil_search_close(search);
        search = NULL;
    }
    if (!search && !PyErr_Occurred())
        PyErr_NoMemory();
    return search;
}

void gil_search_close(struct search *search)
{
    if (search)
        hook_unmap(search, sizeof *search);
}

/* What was freed meanwhile is looked for no more. A block of the same stack at its address does as well; rows may have
 * been moved, then some candidates are lost. */
static void gil_forget_freed(struct search *search)
{
    bool taken = hook_lock();
    for (uint32_t i = 0; i < search->count; i++) {
        struct candidate *candidate = &search->candidates[i];
        struct sample now;
        if (!candidate->over && !(hook_live_find(candidate->address, &now) && now.birth == candidate->birth && now.row == candidate->row))
            candidate->over = true;
    }
    hook_unlock(taken);
}

/* --- what is found ------------------------------------------------------------------------------------------- */

static struct candidate *gil_candidate_at(struct search *search, uintptr_t address)
{
    uint64_t hash = hash_of(address);
    if (likely(!(search->filter[hash >> 58] & 1ull << (hash >> 52 & 63))))
        return NULL;
    uint32_t slot = (uint32_t)(hash >> (64 - SLOT_ORDER));
    for (; search->slots[slot]; slot = (slot + 1) & ((1u << SLOT_ORDER) - 1))
        if (search->candidates[search->slots[slot] - 1].address == address)
            return &search->candidates[search->slots[slot] - 1];
    return NULL;
}

/* As what an address is known: of the object itself or what it surely owns, or of what it merely points to. */
enum claim { OWN, POINTED_TO };

/* Whether the block at the address is one that is looked for. */
static bool gil_match_address(struct search *search, uintptr_t address, PyObject *object, enum claim claim)
{
    struct candidate *candidate = gil_candidate_at(search, address);
    if (unlikely(hooks.marks) && !candidate)
        candidate = gil_candidate_at(search, address - hooks.marks);
    if (likely(!candidate) || candidate->over || (claim == POINTED_TO && !candidate->storage && !search->second))
        return false;
    candidate->over = true;
    if (search->open[candidate->stack]) {
        search->open[candidate->stack]--;
        search->wanted--;
        search->of[search->count_found] = candidate->stack;
        search->found[search->count_found++] = Py_NewRef(object);
    }
    return true;
}

/* A str may be shorter than its type's structure, so only types are read that surely aren't. */
static bool gil_match_storage(struct search *search, PyObject *object)
{
    if (!PyObject_IS_GC(object) && !PyByteArray_Check(object) && !gil_is_array(object))
        return false;
    const uintptr_t *words = (const uintptr_t *)object;
    size_t count = (size_t)Py_TYPE(object)->tp_basicsize / sizeof *words;
    for (size_t word = sizeof(PyObject) / sizeof *words; word < count; word++)
        if (gil_match_address(search, words[word], object, POINTED_TO))
            return true;
    uintptr_t values = gil_block_of_values(object);
    return values && gil_match_address(search, values, object, OWN);
}

/* The fields of built-in types that surely own what they point to. */
static bool gil_match_items(struct search *search, PyObject *object)
{
    if (PyList_Check(object))
        return gil_match_address(search, (uintptr_t)((PyListObject *)object)->ob_item, object, OWN);
    if (PyDict_Check(object))
        return gil_match_address(search, (uintptr_t)((PyDictObject *)object)->ma_keys, object, OWN);
    return PyAnySet_Check(object) && gil_match_address(search, (uintptr_t)((PySetObject *)object)->table, object, OWN);
}

static void gil_match(struct search *search, PyObject *object)
{
    if (!gil_match_address(search, gil_block_of_object(object), object, OWN) && !gil_match_items(search, object))
        gil_match_storage(search, object);
}

/* Called by tp_traverse for each object that the traversed one refers to; non-zero ends the traversal. */
static int gil_visit(PyObject *object, void *argument)
{
    struct search *search = argument;
    bool tuple = PyTuple_CheckExact(object);
    if (gil_is_tracked(object) && !tuple)
        return search->wanted == 0;
    gil_match(search, object);
    bool inner = tuple || PyObject_IS_GC(object);
    if (inner && search->nesting < NESTING_LIMIT) {
        search->nesting++;
        gil_traverse(object, gil_visit, search);
        search->nesting--;
    }
    return search->wanted == 0;
}

static PyObject *gil_list_found(struct search *search)
{
    PyObject *list = PyList_New(search->count_found);
    for (uint32_t i = 0; i < search->count_found; i++) {
        PyObject *pair = list ? Py_BuildValue("iO", (int)search->of[i], search->found[i]) : NULL;
        Py_DECREF(search->found[i]);
        if (pair)
            PyList_SET_ITEM(list, i, pair);
        else
            Py_CLEAR(list);
    }
    search->count_found = 0;
    return list;
}

PyObject *gil_search_step(struct walk *walk, double seconds)
{
    struct search *search = walk->search;
    if (!search)
        return PyErr_Format(PyExc_ValueError, "this walk was begun without stacks");
    gil_forget_freed(search);
    struct step step;
    gil_step_begin(&step, walk, seconds);
    for (PyObject *object; search->wanted && (object = gil_step_next(&step));) {
        gil_match(search, object);
        gil_traverse(object, gil_visit, search);
    }
    gil_step_end(&step);
    if (!search->wanted) {
        walk->done = true;
    } else if (walk->done && !search->second) {
        search->second = true;
        walk->started = walk->done = false;
        walk->list = 0;
    }
    return gil_list_found(search);
}
