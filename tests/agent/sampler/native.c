/* Allocates on command, through Python's three domains or the C library, for tests of the sampler. */
#include <Python.h>

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct functions {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
};

static const struct functions domains[] = {
    {PyMem_RawMalloc, PyMem_RawCalloc, PyMem_RawRealloc, PyMem_RawFree},
    {PyMem_Malloc, PyMem_Calloc, PyMem_Realloc, PyMem_Free},
    {PyObject_Malloc, PyObject_Calloc, PyObject_Realloc, PyObject_Free},
};

static PyObject *address_or_memory_error(void *address)
{
    return address ? PyLong_FromVoidPtr(address) : PyErr_NoMemory();
}

static PyObject *allocate(PyObject *module, PyObject *args)
{
    int domain;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "in", &domain, &size))
        return NULL;
    return address_or_memory_error(domains[domain].malloc(size));
}

static PyObject *allocate_zeroed(PyObject *module, PyObject *args)
{
    int domain;
    Py_ssize_t count, size;
    if (!PyArg_ParseTuple(args, "inn", &domain, &count, &size))
        return NULL;
    return address_or_memory_error(domains[domain].calloc(count, size));
}

static PyObject *reallocate(PyObject *module, PyObject *args)
{
    int domain;
    unsigned long long address;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "iKn", &domain, &address, &size))
        return NULL;
    return address_or_memory_error(domains[domain].realloc((void *)(uintptr_t)address, size));
}

static PyObject *release(PyObject *module, PyObject *args)
{
    int domain;
    unsigned long long address;
    if (!PyArg_ParseTuple(args, "iK", &domain, &address))
        return NULL;
    domains[domain].free((void *)(uintptr_t)address);
    Py_RETURN_NONE;
}

/* hold(domain, size, count) -> handle of `count` blocks, which live until drop(handle). */
static PyObject *hold(PyObject *module, PyObject *args)
{
    int domain;
    Py_ssize_t size, count;
    if (!PyArg_ParseTuple(args, "inn", &domain, &size, &count))
        return NULL;
    void **blocks = calloc(count + 2, sizeof *blocks);
    blocks[0] = (void *)(intptr_t)domain;
    for (Py_ssize_t i = 0; i < count; i++)
        blocks[i + 1] = domains[domain].malloc(size);
    return PyLong_FromVoidPtr(blocks);
}

static PyObject *drop(PyObject *module, PyObject *handle)
{
    void **blocks = PyLong_AsVoidPtr(handle);
    int domain = (int)(intptr_t)blocks[0];
    for (void **block = blocks + 1; *block; block++)
        domains[domain].free(*block);
    free(blocks);
    Py_RETURN_NONE;
}

/* grow(domain, sizes): one block taken through all sizes by realloc, each filled and its content checked. */
static PyObject *grow(PyObject *module, PyObject *args)
{
    int domain;
    PyObject *sizes;
    if (!PyArg_ParseTuple(args, "iO!", &domain, &PyTuple_Type, &sizes))
        return NULL;
    unsigned char *block = NULL;
    size_t filled = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(sizes); i++) {
        size_t size = PyLong_AsSize_t(PyTuple_GET_ITEM(sizes, i));
        unsigned char *moved = domains[domain].realloc(block, size);
        if (!moved)
            return PyErr_NoMemory();
        block = moved;
        for (size_t j = 0; j < (filled < size ? filled : size); j++)
            if (block[j] != (unsigned char)(j * 7))
                return PyErr_Format(PyExc_AssertionError, "byte %zu of %zu was lost", j, size);
        for (size_t j = 0; j < size; j++)
            block[j] = (unsigned char)(j * 7);
        filled = size;
    }
    return PyLong_FromVoidPtr(block);
}

/* --- storms: threads that know nothing of Python use the RAW domain without the GIL ------------------- */

static void *storm(void *rounds)
{
    void *blocks[64] = {0};
    unsigned state = (unsigned)(uintptr_t)&blocks;
    for (long i = 0; i < (long)(intptr_t)rounds; i++) {
        state = state * 1103515245u + 12345u;
        void **block = &blocks[state >> 8 & 63];
        if (state & 1 << 20) {
            PyMem_RawFree(*block);
            *block = NULL;
        } else {
            *block = PyMem_RawRealloc(*block, 1 + (state >> 12 & 2047));
            memset(*block, 1, 1);
        }
    }
    for (int i = 0; i < 64; i++)
        PyMem_RawFree(blocks[i]);
    return NULL;
}

static PyObject *raw_storm(PyObject *module, PyObject *args)
{
    int threads;
    long rounds;
    if (!PyArg_ParseTuple(args, "il", &threads, &rounds))
        return NULL;
    pthread_t running[64];
    Py_BEGIN_ALLOW_THREADS
    for (int i = 0; i < threads; i++)
        pthread_create(&running[i], NULL, storm, (void *)(intptr_t)rounds);
    for (int i = 0; i < threads; i++)
        pthread_join(running[i], NULL);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* --- an allocator below the sampler that refuses on command ---------------------------------------------- */

static PyMemAllocatorEx below[3];
static const PyMemAllocatorDomain names[] = {PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
static int refusing;

static void *refusing_malloc(void *context, size_t size)
{
    return refusing ? NULL : below[(intptr_t)context].malloc(below[(intptr_t)context].ctx, size);
}

static void *refusing_calloc(void *context, size_t count, size_t size)
{
    return refusing ? NULL : below[(intptr_t)context].calloc(below[(intptr_t)context].ctx, count, size);
}

static void *refusing_realloc(void *context, void *old, size_t size)
{
    return refusing ? NULL : below[(intptr_t)context].realloc(below[(intptr_t)context].ctx, old, size);
}

static void refusing_free(void *context, void *address)
{
    below[(intptr_t)context].free(below[(intptr_t)context].ctx, address);
}

static PyObject *install_refusing(PyObject *module, PyObject *unused)
{
    for (intptr_t i = 0; i < 3; i++) {
        PyMemAllocatorEx wrapper = {(void *)i, refusing_malloc, refusing_calloc, refusing_realloc, refusing_free};
        PyMem_GetAllocator(names[i], &below[i]);
        PyMem_SetAllocator(names[i], &wrapper);
    }
    Py_RETURN_NONE;
}

/* refuse_realloc(domain, address, size) -> whether the refused realloc returned NULL */
static PyObject *refuse_realloc(PyObject *module, PyObject *args)
{
    int domain;
    unsigned long long address;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "iKn", &domain, &address, &size))
        return NULL;
    refusing = 1;
    void *moved = domains[domain].realloc((void *)(uintptr_t)address, size);
    refusing = 0;
    return PyBool_FromLong(moved == NULL);
}

/* --- a tool that puts back the allocators it once found ---------------------------------------------------- */

static PyMemAllocatorEx found[3];

static PyObject *remember_allocators(PyObject *module, PyObject *unused)
{
    for (int i = 0; i < 3; i++)
        PyMem_GetAllocator(names[i], &found[i]);
    Py_RETURN_NONE;
}

static PyObject *put_back_allocators(PyObject *module, PyObject *unused)
{
    for (int i = 0; i < 3; i++)
        PyMem_SetAllocator(names[i], &found[i]);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"allocate", allocate, METH_VARARGS, NULL},
    {"allocate_zeroed", allocate_zeroed, METH_VARARGS, NULL},
    {"reallocate", reallocate, METH_VARARGS, NULL},
    {"release", release, METH_VARARGS, NULL},
    {"hold", hold, METH_VARARGS, NULL},
    {"drop", drop, METH_O, NULL},
    {"grow", grow, METH_VARARGS, NULL},
    {"raw_storm", raw_storm, METH_VARARGS, NULL},
    {"install_refusing", install_refusing, METH_NOARGS, NULL},
    {"refuse_realloc", refuse_realloc, METH_VARARGS, NULL},
    {"remember_allocators", remember_allocators, METH_NOARGS, NULL},
    {"put_back_allocators", put_back_allocators, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "native", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit_native(void)
{
    return PyModule_Create(&definition);
}
