/* What the interpreter itself keeps, where no object is seen to hold it: callbacks of atexit, and codecs.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include "layout.h"

#include "kept.h"

#include "asserts.h"

#if PY_VERSION_HEX < 0x030C0000
typedef atexit_callback python_callback;
#else
#define Py_BUILD_CORE 1
#include <internal/pycore_atexit.h>
#undef Py_BUILD_CORE
typedef atexit_py_callback python_callback;
#endif

static PyObject *gil_codecs(PyInterpreterState *interpreter)
{
#if PY_VERSION_HEX >= 0x030D0000
    return interpreter->codecs.search_path;
#else
    return interpreter->codec_search_path;
#endif
}

static int gil_add(PyObject *list, const char *how, PyObject *kept)
{
    PyObject *pair = kept ? Py_BuildValue("sO", how, kept) : NULL;
    int failed = kept && (!pair || PyList_Append(list, pair) < 0) ? -1 : 0;
    Py_XDECREF(pair);
    return failed;
}

static int gil_add_callback(PyObject *list, const python_callback *callback)
{
    /* Held by the list from the first moment on: what runs meanwhile may unregister the callback. */
    PyObject *parts = Py_BuildValue("[OOO]", callback->func, callback->args ? callback->args : Py_None,
                                    callback->kwargs ? callback->kwargs : Py_None);
    int failed = parts ? gil_add(list, "atexit.register", PyList_GET_ITEM(parts, 0)) : -1;
    PyObject *args = parts ? PyList_GET_ITEM(parts, 1) : NULL;
    for (Py_ssize_t i = 0; !failed && args && PyTuple_Check(args) && i < PyTuple_GET_SIZE(args); i++)
        failed = gil_add(list, "atexit.register", PyTuple_GET_ITEM(args, i));
    if (!failed && parts && PyDict_Check(PyList_GET_ITEM(parts, 2)))
        failed = gil_add(list, "atexit.register", PyList_GET_ITEM(parts, 2));
    Py_XDECREF(parts);
    return failed;
}

PyObject *gil_kept(void)
{
    ASSERT_GIL();
    PyInterpreterState *interpreter = PyInterpreterState_Get();
    PyObject *list = PyList_New(0);
    int failed = list ? gil_add(list, "codecs.register", gil_codecs(interpreter)) : -1;
    for (int i = 0; !failed && i < interpreter->atexit.ncallbacks; i++)
        if (interpreter->atexit.callbacks[i])
            failed = gil_add_callback(list, interpreter->atexit.callbacks[i]);
    if (failed)
        Py_CLEAR(list);
    return list;
}
