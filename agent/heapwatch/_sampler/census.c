/* How many objects of which type there are, and how large they are.
 *
 * Each object of a walk is taken with probability 1/stride and stands for `stride` objects (Horvitz and Thompson 1952):
 * the variance of a sum of values v is the sum of v^2 stride (stride - 1) over those taken.
 *
 * What the collector doesn't track (str, bytes, int, float, tuples of such) is reached from containers. An object with
 * r references is reached r times by a whole walk, so each time it counts 1/r, and never more than one object in all;
 * references from elsewhere (C code, frames) let it count less.
 *
 * Sizes are those of the structures that CPython documents. No method of an object is called: that would be the
 * service's code, and it would take references that copy pages which forked processes share.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include "census.h"

#include "memory.h"
#include "random.h"

#define TYPE_LIMIT 4096 /* different types a step */
#define SLOTS (2 * TYPE_LIMIT)
#define NESTING_LIMIT 8

struct entry {
    PyTypeObject *type; /* borrowed until the step is over, then a reference */
    double objects, bytes, objects_variance, bytes_variance;
};

struct census {
    struct entry entries[SLOTS];
    uint32_t types;
    uint32_t stride, nesting;
    struct generator random;
};

static size_t gil_keys_bytes(const PyDictKeysObject *keys)
{
    size_t entry = keys->dk_kind == DICT_KEYS_GENERAL ? sizeof(PyDictKeyEntry) : sizeof(PyDictUnicodeEntry);
    size_t entries = ((size_t)2 << keys->dk_log2_size) / 3;
    return sizeof *keys + ((size_t)1 << keys->dk_log2_index_bytes) + entries * entry;
}

static size_t gil_dict_bytes(const PyDictObject *dict)
{
    if (dict->ma_values) /* keys are shared by the instances of a class */
        return sizeof(PyObject *) * (size_t)dict->ma_keys->dk_nentries;
    return dict->ma_keys->dk_refcnt == 1 ? gil_keys_bytes(dict->ma_keys) : 0;
}

static size_t gil_str_bytes(PyObject *object)
{
    if (!PyUnicode_IS_COMPACT(object))
        return sizeof(PyUnicodeObject);
    size_t head = PyUnicode_IS_COMPACT_ASCII(object) ? sizeof(PyASCIIObject) : sizeof(PyCompactUnicodeObject);
    return head + (size_t)(PyUnicode_GET_LENGTH(object) + 1) * (size_t)PyUnicode_KIND(object);
}

static size_t gil_bytes_of(PyObject *object)
{
    const PyTypeObject *type = Py_TYPE(object);
    if (PyUnicode_CheckExact(object))
        return gil_str_bytes(object);
    size_t bytes = (size_t)type->tp_basicsize + _PyType_PreHeaderSize(Py_TYPE(object));
    /* Others (int, generators, classes) have items as well, but no count of them where these have it. */
    if (PyTuple_Check(object) || PyBytes_Check(object) || PyCode_Check(object))
        bytes += (size_t)type->tp_itemsize * (size_t)Py_SIZE(object);
    else if (PyList_Check(object))
        bytes += sizeof(PyObject *) * (size_t)((PyListObject *)object)->allocated;
    else if (PyDict_Check(object))
        bytes += gil_dict_bytes((PyDictObject *)object);
    else if (PyAnySet_Check(object) && ((PySetObject *)object)->table != ((PySetObject *)object)->smalltable)
        bytes += sizeof(setentry) * (size_t)(((PySetObject *)object)->mask + 1);
    else if (PyByteArray_Check(object))
        bytes += (size_t)((PyByteArrayObject *)object)->ob_alloc;
    return bytes;
}

static void gil_add(struct census *census, PyObject *object, double share)
{
    PyTypeObject *type = Py_TYPE(object);
    size_t slot = ((uintptr_t)type >> 4) * 0x9e3779b97f4a7c15u % SLOTS;
    while (census->entries[slot].type && census->entries[slot].type != type)
        slot = (slot + 1) % SLOTS;
    struct entry *entry = &census->entries[slot];
    if (!entry->type) {
        if (census->types == TYPE_LIMIT)
            return;
        census->types++;
        entry->type = type;
    }
    double bytes = share * (double)gil_bytes_of(object), stride = census->stride;
    entry->objects += stride * share;
    entry->bytes += stride * bytes;
    entry->objects_variance += stride * (stride - 1) * share * share;
    entry->bytes_variance += stride * (stride - 1) * bytes * bytes;
}

/* Called by tp_traverse for each object that the traversed one refers to; never ends the traversal. */
static int gil_visit(PyObject *object, void *argument)
{
    struct census *census = argument;
    bool tuple = PyTuple_CheckExact(object);
    if ((gil_is_tracked(object) && !tuple) || PyType_Check(object))
        return 0;
    Py_ssize_t references = Py_REFCNT(object);
    gil_add(census, object, 1.0 / (double)(references > 0 ? references : 1));
    if ((tuple || PyObject_IS_GC(object)) && references == 1 && census->nesting < NESTING_LIMIT) {
        census->nesting++;
        gil_traverse(object, gil_visit, census);
        census->nesting--;
    }
    return 0;
}

static bool gil_taken(struct census *census)
{
    return census->stride == 1 || hook_random_unit(&census->random) * census->stride <= 1.0;
}

static PyObject *gil_list_types(struct census *census)
{
    PyObject *list = PyList_New(0);
    for (size_t slot = 0; slot < SLOTS; slot++) {
        struct entry *entry = &census->entries[slot];
        if (!entry->type)
            continue;
        PyObject *row = list ? Py_BuildValue("Odddd", (PyObject *)entry->type, entry->objects, entry->bytes,
                                             entry->objects_variance, entry->bytes_variance)
                             : NULL;
        if (list && (!row || PyList_Append(list, row) < 0))
            Py_CLEAR(list);
        Py_XDECREF(row);
        Py_DECREF(entry->type);
    }
    return list;
}

PyObject *gil_census(struct walk *walk, uint32_t stride, double seconds)
{
    struct census *census = hook_map(sizeof *census);
    if (!census)
        return PyErr_NoMemory();
    census->stride = stride;
    struct step step;
    gil_step_begin(&step, walk, seconds);
    hook_random_seed(&census->random, 0);
    for (PyObject *object; (object = gil_step_next(&step));) {
        if (!gil_taken(census))
            continue;
        gil_add(census, object, 1.0);
        gil_traverse(object, gil_visit, census);
    }
    for (size_t slot = 0; slot < SLOTS; slot++)
        Py_XINCREF(census->entries[slot].type);
    gil_step_end(&step);
    PyObject *list = gil_list_types(census);
    hook_unmap(census, sizeof *census);
    return list;
}
