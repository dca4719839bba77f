/* Which thread a sample belongs to, and the label (endpoint) it runs under.
 *
 * A thread gets its number with its first sample. Its name is a Python object, so it is read at exports, by
 * identifier, while the thread lives; a thread that came and went between two exports is "(ended thread)".
 *
 * Thread rule: hook_ functions are safe in hooks that hold the GIL; gil_ functions need the GIL too.
 */
#include "threads.h"

#include "memory.h"

#include <pthread.h>
#include <stdatomic.h>

struct thread {
    uintptr_t identifier;
    PyObject *name; /* NULL until an export saw it alive */
    bool used;
    atomic_bool ended; /* the one field that is written without the GIL */
};

static struct thread threads[THREAD_LIMIT];
static uint32_t threads_used = 1;
static pthread_key_t end_key;
static PyObject *other_name, *ended_name;

/* The static TLS block makes this one instruction; the default model calls a function. */
static __thread uint32_t own_number __attribute__((tls_model("initial-exec")));
static __thread uint32_t own_label __attribute__((tls_model("initial-exec")));

static void hook_thread_ended(void *number)
{
    atomic_store_explicit(&threads[(uintptr_t)number].ended, true, memory_order_relaxed);
    own_number = THREAD_OTHER; /* for memory that later destructors ask for */
}

bool hook_threads_open(void)
{
    static bool opened;
    if (!opened)
        opened = pthread_key_create(&end_key, hook_thread_ended) == 0;
    return opened;
}

static uint32_t free_number(void)
{
    if (threads_used < THREAD_LIMIT)
        return threads_used++;
    for (uint32_t i = 1; i < THREAD_LIMIT; i++)
        if (!threads[i].used)
            return i;
    return THREAD_OTHER;
}

uint32_t hook_thread_number(void)
{
    if (likely(own_number))
        return own_number;
    uint32_t number = free_number();
    if (!number)
        return THREAD_OTHER;
    threads[number].identifier = (uintptr_t)pthread_self();
    threads[number].ended = false;
    threads[number].used = true;
    pthread_setspecific(end_key, (void *)(uintptr_t)number);
    return own_number = number;
}

uint32_t hook_label(void)
{
    return own_label;
}

uint32_t hook_set_label(uint32_t label)
{
    uint32_t previous = own_label;
    own_label = label;
    return previous;
}

void hook_threads_forked(void)
{
    for (uint32_t i = 1; i < threads_used; i++)
        threads[i].ended = threads[i].ended || i != own_number;
}

static PyObject *name_of(PyObject *active, uintptr_t identifier)
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

static void rename_thread(struct thread *thread, PyObject *active)
{
    PyObject *name = name_of(active, thread->identifier);
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
    for (uint32_t i = 1; PyDict_Check(active) && i < threads_used; i++)
        if (threads[i].used && !threads[i].ended)
            rename_thread(&threads[i], active);
    Py_DECREF(active);
    return 0;
}

PyObject *gil_thread_name(uint32_t number)
{
    if (number == THREAD_OTHER)
        return Py_NewRef(other_name);
    return Py_NewRef(threads[number].name ? threads[number].name : ended_name);
}

void gil_threads_recycle(const uint8_t *in_use)
{
    for (uint32_t i = 1; i < threads_used; i++) {
        PyObject *name = threads[i].name;
        if (!threads[i].used || !threads[i].ended || in_use[i])
            continue;
        threads[i].used = false;
        threads[i].name = NULL;
        Py_XDECREF(name);
    }
}
