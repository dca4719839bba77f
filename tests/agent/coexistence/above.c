/* A tool that puts its allocators over those it finds, as profilers do, and puts those back when it ends. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define DOMAINS 3

static PyMemAllocatorEx below[DOMAINS];
static unsigned long long calls;

static void *take(void *ctx, size_t size)
{
    PyMemAllocatorEx *to = ctx;
    calls++;
    return to->malloc(to->ctx, size);
}

static void *take_zeroed(void *ctx, size_t count, size_t size)
{
    PyMemAllocatorEx *to = ctx;
    calls++;
    return to->calloc(to->ctx, count, size);
}

static void *resize(void *ctx, void *block, size_t size)
{
    PyMemAllocatorEx *to = ctx;
    calls++;
    return to->realloc(to->ctx, block, size);
}

static void give(void *ctx, void *block)
{
    PyMemAllocatorEx *to = ctx;
    to->free(to->ctx, block);
}

static PyObject *start(PyObject *module, PyObject *unused)
{
    for (int domain = 0; domain < DOMAINS; domain++) {
        PyMem_GetAllocator(domain, &below[domain]);
        PyMemAllocatorEx ours = {&below[domain], take, take_zeroed, resize, give};
        PyMem_SetAllocator(domain, &ours);
    }
    Py_RETURN_NONE;
}

static PyObject *stop(PyObject *module, PyObject *unused)
{
    for (int domain = 0; domain < DOMAINS; domain++)
        PyMem_SetAllocator(domain, &below[domain]);
    return PyLong_FromUnsignedLongLong(calls);
}

static PyMethodDef methods[] = {{"start", start, METH_NOARGS, NULL}, {"stop", stop, METH_NOARGS, NULL}, {0}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "above", NULL, -1, methods};

PyMODINIT_FUNC PyInit_above(void)
{
    return PyModule_Create(&definition);
}
