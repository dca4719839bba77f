/* The names of threads, read from Python's threading module.
 *
 * A name is a Python object, so it is read at exports, by the thread's identifier, while the thread lives. A
 * thread that came and went between two exports, or that the threading module doesn't know, is one of the
 * "(other threads)". An ended thread that had a name keeps it as long as there is room.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include "thread_names.h"

#include "asserts.h"
#include "lock.h"
#include "native.h"
#include "rows.h"
#include "threads.h"

static PyObject *other_name;

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
    PyUnicode_InternInPlace(&name); /* so that equal names are the same object */
    PyObject *old = thread->name;
    thread->name = name;
    Py_XDECREF(old);
}

int gil_threads_name(void)
{
    ASSERT_GIL();
    if (!other_name && !(other_name = PyUnicode_InternFromString("(other threads)")))
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
    return Py_NewRef(threads.all[number].name ? threads.all[number].name : other_name);
}

/* The thread whose rows take over those of a thread; itself: they stay. */
static uint32_t gil_fold_of(uint32_t number, const bool *over, bool crowded)
{
    const struct thread *thread = &threads.all[number];
    if (!thread->used)
        return number;
    if (!thread->name || (over[number] && crowded))
        return THREAD_OTHER;
    for (uint32_t i = 1; i < number; i++)
        if (threads.all[i].used && threads.all[i].name == thread->name && !(over[i] && crowded))
            return i;
    return number;
}

static PyObject *gil_give_up_number(uint32_t number)
{
    ++*hook_guard(); /* a signal handler's C allocations must not find the list of numbers in change */
    PyObject *name = hook_thread_give_up(number);
    --*hook_guard();
    return name;
}

void gil_threads_fold(bool crowded)
{
    ASSERT_GIL();
    static uint32_t to[THREAD_LIMIT];
    static bool over[THREAD_LIMIT]; /* ended before the fold: one that ends after it may have got new rows */
    bool any = false;
    crowded |= threads.used > THREAD_LIMIT / 4;
    for (uint32_t i = 1; i < threads.used; i++)
        over[i] = atomic_load_explicit(&threads.all[i].ended, memory_order_acquire);
    for (uint32_t i = 1; i < threads.used; i++) {
        to[i] = gil_fold_of(i, over, crowded);
        any |= to[i] != i;
    }
    if (!any)
        return;
    bool taken = hook_lock();
    hook_rows_fold(to);
    hook_unlock(taken);
    for (uint32_t i = 1; i < threads.used; i++)
        if (to[i] != i && over[i])
            Py_XDECREF(gil_give_up_number(i)); /* a string: its end runs no other code */
}
