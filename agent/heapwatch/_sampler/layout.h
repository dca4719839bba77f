/* Where an object's parts lie in memory, by Python version.
 *
 * Thread rule: plain reads of a live object, under the GIL.
 */
#ifndef HEAPWATCH_LAYOUT_H
#define HEAPWATCH_LAYOUT_H

#define Py_BUILD_CORE 1
#include <Python.h>
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

/* The frozen object behind `object`, or the first one if that is NULL; NULL behind the last. An object that was
 * unfrozen meanwhile leads through one of the generations, which ends as well. */
static inline PyObject *gil_next_frozen(PyObject *object)
{
    struct _gc_runtime_state *gc = &PyInterpreterState_Get()->gc;
    PyGC_Head *next = _PyGCHead_NEXT(object ? _Py_AS_GC(object) : &gc->permanent_generation.head);
    if (next == &gc->permanent_generation.head)
        return NULL;
    for (int generation = 0; generation < NUM_GENERATIONS; generation++)
        if (next == &gc->generations[generation].head)
            return NULL;
    return (PyObject *)(next + 1);
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
