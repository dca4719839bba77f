/* Where an object's parts lie in memory, by Python version.
 *
 * Thread rule: plain reads of a live object, under the GIL.
 */
#ifndef HEAPWATCH_LAYOUT_H
#define HEAPWATCH_LAYOUT_H

#define Py_BUILD_CORE 1
#include <Python.h>
#include <internal/pycore_dict.h>
#include <internal/pycore_gc.h>
#include <internal/pycore_interp.h>
#include <internal/pycore_object.h>
#undef Py_BUILD_CORE

/* Start of the allocated block that holds the object: before it lie the collector's links and, for some
 * types, the pointers to instance dict and weak references. */
static inline uintptr_t gil_block_of_object(PyObject *object)
{
    return (uintptr_t)object - _PyType_PreHeaderSize(Py_TYPE(object));
}

/* Known to the collector's lists; only asked of types the collector knows. */
static inline bool gil_is_tracked(PyObject *object)
{
    return PyObject_IS_GC(object) && _PyObject_GC_IS_TRACKED(object);
}

/* Shows `visit` what the object refers to: by its own tp_traverse, and of a dict whose keys are all strings the keys,
 * which that leaves out, for they can't be part of a cycle. */
static inline void gil_traverse(PyObject *object, visitproc visit, void *argument)
{
    traverseproc traverse = Py_TYPE(object)->tp_traverse;
    if (traverse && traverse(object, visit, argument))
        return;
    if (!PyDict_Check(object) || ((PyDictObject *)object)->ma_values || !DK_IS_UNICODE(((PyDictObject *)object)->ma_keys))
        return;
    PyObject *key, *value;
    for (Py_ssize_t at = 0; PyDict_Next(object, &at, &key, &value);)
        if (visit(key, argument))
            return;
}

#define HEAP_LISTS 4

/* Heads of the collector's lists: what is frozen, then the generations, the oldest first. */
static inline PyGC_Head *gil_heap_list(struct _gc_runtime_state *gc, int list)
{
    return list ? &gc->generations[NUM_GENERATIONS - list].head : &gc->permanent_generation.head;
}

static inline void gil_move_behind(PyGC_Head *moved, PyGC_Head *place)
{
    PyGC_Head *before = _PyGCHead_PREV(moved), *after = _PyGCHead_NEXT(moved);
    if (place == moved || place == before)
        return;
    _PyGCHead_SET_NEXT(before, after);
    _PyGCHead_SET_PREV(after, before);
    after = _PyGCHead_NEXT(place);
    _PyGCHead_SET_NEXT(place, moved);
    _PyGCHead_SET_PREV(moved, place);
    _PyGCHead_SET_NEXT(moved, after);
    _PyGCHead_SET_PREV(after, moved);
}

/* 3.11 and 3.12 keep an instance's attribute values in a block of their own, with a prefix whose last byte is
 * the prefix's length; from 3.13 they lie inside the object's block. 0: none. */
static inline uintptr_t gil_block_of_values(PyObject *object)
{
#if PY_VERSION_HEX < 0x030D0000
    if (!_PyType_HasFeature(Py_TYPE(object), Py_TPFLAGS_MANAGED_DICT))
        return 0;
#if PY_VERSION_HEX < 0x030C0000
    const unsigned char *values = (const unsigned char *)*_PyObject_ValuesPointer(object);
#else
    PyDictOrValues either = *_PyObject_DictOrValuesPointer(object);
    const unsigned char *values =
        _PyDictOrValues_IsValues(either) ? (const unsigned char *)_PyDictOrValues_GetValues(either) : NULL;
#endif
    return values ? (uintptr_t)(values - values[-1]) : 0;
#else
    return 0;
#endif
}

#endif
