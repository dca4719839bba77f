/* The Python module `heapwatch._sampler`: arguments in, tables out.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include "walk.h" /* internal headers of Python want to be the first */

#include "ages.h"
#include "encoder.h"
#include "export.h"
#include "hooks.h"
#include "install.h"
#include "kept.h"
#include "live.h"
#include "numpy.h"
#include "profile.h"
#include "scope_type.h"
#include "stacks.h"
#include "threads.h"

static int gil_interval(PyObject *argument, void *result)
{
    long long interval = PyLong_AsLongLong(argument);
    if (interval == -1 && PyErr_Occurred())
        return 0;
    if (interval < 1 || interval > INTERVAL_LIMIT) {
        PyErr_Format(PyExc_ValueError, "interval must be 1 to %u bytes, not %lld", INTERVAL_LIMIT, interval);
        return 0;
    }
    *(uint32_t *)result = (uint32_t)interval;
    return 1;
}

static PyObject *gil_start(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"interval", "max_depth", "seed", NULL};
    uint32_t interval;
    int max_depth;
    unsigned long long seed = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&i|K:start", names, gil_interval, &interval, &max_depth, &seed))
        return NULL;
    if (max_depth < 1 || max_depth > DEPTH_LIMIT)
        return PyErr_Format(PyExc_ValueError, "max_depth must be 1 to %d frames, not %d", DEPTH_LIMIT, max_depth);
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_RuntimeError, "the sampler works in the main interpreter only; start it there");
        return NULL;
    }
#ifdef Py_GIL_DISABLED
    PyErr_SetString(PyExc_RuntimeError, "the sampler needs the GIL; run a Python that isn't free-threaded");
    return NULL;
#endif
    if (!gil_install()) {
        PyErr_SetString(PyExc_RuntimeError, "the allocator hooks can't be put in place: another tool keeps Python's "
                                            "allocators for itself, or there is no memory for the sampler's tables");
        return NULL;
    }
    gil_seed(seed);
    gil_enable(interval, (uint32_t)max_depth);
    Py_RETURN_NONE;
}

static PyObject *gil_stop(PyObject *module, PyObject *unused)
{
    gil_disable();
    Py_RETURN_NONE;
}

static PyObject *gil_set_interval_method(PyObject *module, PyObject *argument)
{
    uint32_t interval;
    if (!gil_interval(argument, &interval))
        return NULL;
    gil_set_interval(interval);
    Py_RETURN_NONE;
}

static PyObject *gil_watch_arrays_method(PyObject *module, PyObject *table)
{
    return PyUnicode_FromString(install.done ? gil_watch_arrays(table) : "the sampler isn't started");
}

static PyObject *gil_set_label(PyObject *module, PyObject *argument)
{
    unsigned long label = PyLong_AsUnsignedLong(argument);
    if (label == (unsigned long)-1 && PyErr_Occurred())
        return NULL;
    if (label > UINT32_MAX)
        return PyErr_Format(PyExc_OverflowError, "label must fit 32 bits");
    return PyLong_FromUnsignedLong(hook_set_label((uint32_t)label));
}

static PyObject *gil_export_method(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"since", "live", "own", NULL};
    unsigned long long since = 0;
    unsigned int own = 0;
    int live_ones = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|KpI:export", names, &since, &live_ones, &own))
        return NULL;
    return install.done ? gil_export(since, live_ones, own) : PyList_New(0);
}

static PyObject *gil_totals_method(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"live", "own", NULL};
    int live_ones = 0;
    unsigned int own = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|pI:totals", names, &live_ones, &own))
        return NULL;
    return install.done ? gil_totals(live_ones, own) : Py_BuildValue("[]d", 0.0);
}

static PyObject *gil_levels_method(PyObject *module, PyObject *argument)
{
    unsigned long own = PyLong_AsUnsignedLong(argument);
    if (own == (unsigned long)-1 && PyErr_Occurred())
        return NULL;
    if (own > UINT32_MAX)
        return PyErr_Format(PyExc_OverflowError, "label must fit 32 bits");
    return install.done ? gil_levels((uint32_t)own) : Py_BuildValue("yd", "", 0.0);
}

static PyObject *gil_frames_method(PyObject *module, PyObject *argument)
{
    unsigned long long stack = PyLong_AsUnsignedLongLong(argument);
    if (stack == (unsigned long long)-1 && PyErr_Occurred())
        return NULL;
    return install.done ? gil_frames_of(stack) : PyTuple_New(0);
}

static PyObject *gil_profile_method(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"names", "own", "take", "peak", NULL};
    PyObject *labels;
    unsigned int own = 0;
    int take = 0, peak = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!|Ipp:profile", names, &PyDict_Type, &labels, &own, &take, &peak))
        return NULL;
    if (install.done)
        return gil_profile(labels, own, take && !peak, peak);
    PyErr_SetString(PyExc_RuntimeError, "there is no profile before the sampler was started");
    return NULL;
}

static PyObject *gil_give_back_method(PyObject *module, PyObject *argument)
{
    char *bytes;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(argument, &bytes, &size) < 0 || gil_profile_give_back(bytes, size) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *gil_live_samples_method(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"stack", "limit", NULL};
    unsigned long long stack;
    Py_ssize_t limit;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Kn:live_samples", names, &stack, &limit))
        return NULL;
    return install.done ? gil_live_samples(stack, limit) : PyList_New(0);
}

static PyObject *gil_lifetimes_of(PyObject *sequence)
{
    Py_ssize_t count = PyList_GET_SIZE(sequence);
    uint64_t *ids = PyMem_Malloc(sizeof *ids * (size_t)(count + 1));
    if (!ids)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++)
        ids[i] = PyLong_AsUnsignedLongLong(PyList_GET_ITEM(sequence, i));
    PyObject *found = PyErr_Occurred() ? NULL : gil_lifetimes(ids, count);
    PyMem_Free(ids);
    return found;
}

static PyObject *gil_lifetimes_method(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"stacks", NULL};
    PyObject *stacks = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:lifetimes", names, &stacks))
        return NULL;
    if (stacks != Py_None && !PyList_Check(stacks))
        return PyErr_Format(PyExc_TypeError, "stacks must be a list of stack ids or None");
    if (!install.done)
        return PyList_New(0);
    return stacks == Py_None ? gil_lifetimes(NULL, 0) : gil_lifetimes_of(stacks);
}

static PyObject *gil_kept_method(PyObject *module, PyObject *unused)
{
    return gil_kept();
}

static PyObject *gil_high_water_method(PyObject *module, PyObject *unused)
{
    return gil_high_water();
}

static PyObject *gil_stats_method(PyObject *module, PyObject *unused)
{
    return gil_stats();
}

#define KEYWORDS (METH_VARARGS | METH_KEYWORDS)
static PyMethodDef methods[] = {
    {"start", (PyCFunction)(void (*)(void))gil_start, KEYWORDS, NULL},
    {"stop", gil_stop, METH_NOARGS, NULL},
    {"set_interval", gil_set_interval_method, METH_O, NULL},
    {"watch_arrays", gil_watch_arrays_method, METH_O, NULL},
    {"set_label", gil_set_label, METH_O, NULL},
    {"export", (PyCFunction)(void (*)(void))gil_export_method, KEYWORDS, NULL},
    {"totals", (PyCFunction)(void (*)(void))gil_totals_method, KEYWORDS, NULL},
    {"levels", gil_levels_method, METH_O, NULL},
    {"frames", gil_frames_method, METH_O, NULL},
    {"profile", (PyCFunction)(void (*)(void))gil_profile_method, KEYWORDS, NULL},
    {"give_back", gil_give_back_method, METH_O, NULL},
    {"live_samples", (PyCFunction)(void (*)(void))gil_live_samples_method, KEYWORDS, NULL},
    {"lifetimes", (PyCFunction)(void (*)(void))gil_lifetimes_method, KEYWORDS, NULL},
    {"kept", gil_kept_method, METH_NOARGS, NULL},
    {"high_water", gil_high_water_method, METH_NOARGS, NULL},
    {"stats", gil_stats_method, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, gil_add_scope_type},
    {Py_mod_exec, gil_walk_open},
    {Py_mod_exec, gil_encoder_open},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "heapwatch._sampler",
    .m_doc = "Samples Python's memory allocations inside the process.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__sampler(void)
{
    return PyModuleDef_Init(&definition);
}
