/* The names of threads, read from Python's threading module.
 *
 * A name is a Python object, so it is read at exports, by the thread's identifier, while the thread lives. A
 * thread that came and went between two exports is "(ended thread)".
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include "thread_names.h"

#include "threads.h"

static PyObject *other_name, *ended_name;

static PyObject *gil_name_of(PyObject *active, uintptr_t identifier)
{
    PyObject *key = PyLong_FromUnsignedLong(identifier), *thread = NULL, *name = NULL;
    if (key && (thread = PyDict_GetItemWithError(active, key)))
        name = PyObject_GetAttrString(Py_NewRef(thread), "name");
    Py_XDECREF(thread);
    Py_XDECREF(key);
    if (name && !PyUnicode_Check(name))
        Py_CLEAR(name);
    return name;
}

static void gil_rename_thread(struct thread *thread, PyObject *active)
{
    PyObject *name = gil_name_of(active, thread->identifier);
    if (!name) {
        PyErr_Clear(); /* a thread that Python's threading module doesn't know, or a broken name */
        return;
    }
    if (thread->ended || !thread->used) {
        Py_DECREF(name); /* its identifier may belong to another thread by now */
        return;
    }
    PyObject *old = thread->name;
    thread->name = name;
    Py_XDECREF(old);
}

int gil_threads_name(void)
{
    if (!other_name && !(other_name = PyUnicode_InternFromString("(other threads)")))
        return -1;
    if (!ended_name && !(ended_name = PyUnicode_InternFromString("(ended thread)")))
        return -1;
    PyObject *module = PyImport_ImportModule("threading");
    PyObject *active = module ? PyObject_GetAttrString(module, "_active") : NULL;
    Py_XDECREF(module);
    if (!active)
        return -1;
    for (uint32_t i = 1; PyDict_Check(active) && i < threads.used; i++)
        if (threads.all[i].used && !threads.all[i].ended)
            gil_rename_thread(&threads.all[i], active);
    Py_DECREF(active);
    return 0;
}

PyObject *gil_thread_name(uint32_t number)
{
    if (number == THREAD_OTHER)
        return Py_NewRef(other_name);
    return Py_NewRef(threads.all[number].name ? threads.all[number].name : ended_name);
}

void gil_threads_recycle(const uint8_t *in_use)
{
    for (uint32_t i = 1; i < threads.used; i++) {
        PyObject *name = threads.all[i].name;
        if (!threads.all[i].used || !threads.all[i].ended || in_use[i])
            continue;
        threads.all[i].used = false;
        threads.all[i].name = NULL;
        Py_XDECREF(name);
    }
}
