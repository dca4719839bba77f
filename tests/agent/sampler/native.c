/* Allocates on command, through Python's three domains or the C library, with the GIL or without, for tests of the sampler. */
#define _GNU_SOURCE
#include <Python.h>

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

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
    {malloc, calloc, realloc, free},
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

/* Threads that use the RAW domain until the process is gone, whatever has become of Python. */
static PyObject *raw_storm_until_the_end(PyObject *module, PyObject *threads)
{
    pthread_t running;
    for (long i = 0; i < PyLong_AsLong(threads); i++) {
        pthread_create(&running, NULL, storm, (void *)(intptr_t)LONG_MAX);
        pthread_detach(running);
    }
    Py_RETURN_NONE;
}

/* --- the C allocator: its other functions, and threads that know nothing of Python ------------------------ */

/* allocate_aligned(function, alignment, size) -> address */
static PyObject *allocate_aligned(PyObject *module, PyObject *args)
{
    const char *function;
    Py_ssize_t alignment, size;
    void *address = NULL;
    if (!PyArg_ParseTuple(args, "snn", &function, &alignment, &size))
        return NULL;
    if (!strcmp(function, "posix_memalign") && posix_memalign(&address, alignment, size))
        address = NULL;
    else if (!strcmp(function, "aligned_alloc"))
        address = aligned_alloc(alignment, size);
    else if (!strcmp(function, "memalign"))
        address = memalign(alignment, size);
    else if (!strcmp(function, "valloc"))
        address = valloc(size);
    else if (!strcmp(function, "pvalloc"))
        address = pvalloc(size);
    else if (!strcmp(function, "reallocarray"))
        address = reallocarray(NULL, alignment, size);
    return address_or_memory_error(address);
}

/* The corners of the C standard; returns what went wrong, "" for nothing. */
static PyObject *check_corners(PyObject *module, PyObject *unused)
{
    const char *wrong = "";
    volatile size_t huge = SIZE_MAX / 2; /* volatile: the compiler would warn */
    errno = 77;
    free(NULL);
    free(malloc(0));
    free(calloc(0, 8));
    free(realloc(NULL, 100));
    void *block = malloc(100);
    if (realloc(block, 0))
        wrong = "realloc to nothing";
    if (errno != 77)
        wrong = "errno was changed";
    if (calloc(huge, 4) || errno != ENOMEM)
        wrong = "calloc that overflows";
    errno = 0;
    if (malloc(huge) || errno != ENOMEM)
        wrong = "malloc of too much";
    errno = 0;
    block = malloc(100);
    memset(block, 7, 100);
    if (reallocarray(block, huge, 4) || errno != ENOMEM || realloc(block, huge) || ((char *)block)[99] != 7)
        wrong = "realloc of too much";
    if (malloc_usable_size(block) < 100)
        wrong = "usable size";
    free(block);
    if (posix_memalign(&block, 3, 8) != EINVAL)
        wrong = "alignment";
    return PyUnicode_FromString(wrong);
}

struct errand {
    Py_ssize_t size, count;
    int domain; /* the C allocator or RAW: the others need the GIL */
    void **blocks;
    int release;
};

static void *run_errand(void *argument)
{
    struct errand *errand = argument;
    for (Py_ssize_t i = 0; i < errand->count; i++)
        if (errand->release)
            domains[errand->domain].free(errand->blocks[i]);
        else
            errand->blocks[i] = domains[errand->domain].malloc(errand->size);
    return NULL;
}

/* hold_in_thread(size, count, domain=C) -> handle of blocks that a thread without Python allocated. */
static PyObject *hold_in_thread(PyObject *module, PyObject *args)
{
    struct errand errand = {.domain = 3};
    pthread_t thread;
    if (!PyArg_ParseTuple(args, "nn|i", &errand.size, &errand.count, &errand.domain))
        return NULL;
    errand.blocks = calloc(errand.count + 2, sizeof *errand.blocks);
    *errand.blocks++ = (void *)(intptr_t)errand.domain;
    pthread_create(&thread, NULL, run_errand, &errand);
    pthread_join(thread, NULL);
    return PyLong_FromVoidPtr(errand.blocks - 1);
}

/* Frees the blocks of a handle in a thread without Python. */
static PyObject *drop_in_thread(PyObject *module, PyObject *handle)
{
    struct errand errand = {.blocks = (void **)PyLong_AsVoidPtr(handle) + 1, .release = 1};
    pthread_t thread;
    errand.domain = (int)(intptr_t)errand.blocks[-1];
    while (errand.blocks[errand.count])
        errand.count++;
    pthread_create(&thread, NULL, run_errand, &errand);
    pthread_join(thread, NULL);
    free(errand.blocks - 1);
    Py_RETURN_NONE;
}

/* Threads that know nothing of Python use the C allocator, each also freeing what others allocated. */
static void *_Atomic shared[256];

static void *c_storm_thread(void *rounds)
{
    unsigned state = (unsigned)(uintptr_t)&state;
    for (long i = 0; i < (long)(intptr_t)rounds; i++) {
        state = state * 1103515245u + 12345u;
        unsigned size = 1 + (state >> 12 & 4095);
        void *block = atomic_exchange(&shared[state >> 8 & 255], NULL);
        switch (state >> 24 & 3) {
        case 0: free(block); block = NULL; break;
        case 1: block = realloc(block, size); memset(block, 1, 1); break;
        case 2: free(block); block = calloc(1, size); break;
        default: free(block); block = aligned_alloc(64, 64 * (size / 64 + 1));
        }
        free(atomic_exchange(&shared[state >> 16 & 255], block));
    }
    return NULL;
}

static PyObject *c_storm(PyObject *module, PyObject *args)
{
    int threads;
    long rounds;
    if (!PyArg_ParseTuple(args, "il", &threads, &rounds))
        return NULL;
    pthread_t running[64];
    Py_BEGIN_ALLOW_THREADS
    for (int i = 0; i < threads; i++)
        pthread_create(&running[i], NULL, c_storm_thread, (void *)(intptr_t)rounds);
    for (int i = 0; i < threads; i++)
        pthread_join(running[i], NULL);
    Py_END_ALLOW_THREADS
    for (int i = 0; i < 256; i++)
        free(atomic_exchange(&shared[i], NULL));
    Py_RETURN_NONE;
}

/* A library whose fork handler takes a lock under which another of its threads allocates. */
static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool library_runs;
static pthread_t library_thread;

static void library_prepare(void) { pthread_mutex_lock(&library_lock); }
static void library_after(void) { pthread_mutex_unlock(&library_lock); }

static void *library_loop(void *unused)
{
    while (library_runs) {
        pthread_mutex_lock(&library_lock);
        for (int i = 0; i < 100; i++)
            free(malloc(3000));
        pthread_mutex_unlock(&library_lock);
        usleep(1);
    }
    return unused;
}

static PyObject *start_library(PyObject *module, PyObject *unused)
{
    library_runs = true;
    pthread_atfork(library_prepare, library_after, library_after);
    pthread_create(&library_thread, NULL, library_loop, NULL);
    Py_RETURN_NONE;
}

static PyObject *stop_library(PyObject *module, PyObject *unused)
{
    library_runs = false;
    pthread_join(library_thread, NULL);
    Py_RETURN_NONE;
}

/* hold_without_gil(size, count, domain=C): a thread of Python's that has let go of the GIL allocates. */
static PyObject *hold_without_gil(PyObject *module, PyObject *args)
{
    struct errand errand = {.domain = 3};
    if (!PyArg_ParseTuple(args, "nn|i", &errand.size, &errand.count, &errand.domain))
        return NULL;
    errand.blocks = calloc(errand.count + 2, sizeof *errand.blocks);
    *errand.blocks++ = (void *)(intptr_t)errand.domain;
    Py_BEGIN_ALLOW_THREADS
    run_errand(&errand);
    Py_END_ALLOW_THREADS
    return PyLong_FromVoidPtr(errand.blocks - 1);
}

/* map(size) -> address of an anonymous mapping; move(address, old size, size) -> address; unmap(address, size) */
static PyObject *map(PyObject *module, PyObject *size)
{
    void *address = mmap(NULL, PyLong_AsSize_t(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return address_or_memory_error(address == MAP_FAILED ? NULL : address);
}

static PyObject *move(PyObject *module, PyObject *args)
{
    unsigned long long address;
    Py_ssize_t old_size, size;
    if (!PyArg_ParseTuple(args, "Knn", &address, &old_size, &size))
        return NULL;
    void *moved = mremap((void *)(uintptr_t)address, old_size, size, MREMAP_MAYMOVE);
    return address_or_memory_error(moved == MAP_FAILED ? NULL : moved);
}

static PyObject *unmap(PyObject *module, PyObject *args)
{
    unsigned long long address;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "Kn", &address, &size))
        return NULL;
    return PyLong_FromLong(munmap((void *)(uintptr_t)address, size));
}

/* --- a signal handler that allocates --------------------------------------------------------------------------- */

/* Below the sampler, blocks for the handler come from memory of its own: the C library's malloc may be interrupted. */
static PyMemAllocatorEx raw_below;
static char handler_memory[1 << 12];
static __thread int handling;
static atomic_long handled;
static uintptr_t code_start, code_end; /* only what runs here is interrupted */

/* Amid code of the interpreter a handler may not ask for its frames: on 3.11 and 3.12 a call from C to Python makes the
 * thread's frame unreadable for some instructions (between the two that link the new CFrame and set its frame). */
static uintptr_t interrupted_at(const ucontext_t *context)
{
#if defined(__x86_64__)
    return context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return context->uc_mcontext.pc;
#else
#error "which register is the instruction's address?"
#endif
}

static bool is_handlers(const void *address)
{
    return (uintptr_t)address - (uintptr_t)handler_memory < sizeof handler_memory;
}

static void *signal_safe_malloc(void *context, size_t size)
{
    return handling ? handler_memory : raw_below.malloc(context, size);
}

static void signal_safe_free(void *context, void *address)
{
    if (!is_handlers(address))
        raw_below.free(context, address);
}

static void allocate_in_handler(int signal, siginfo_t *info, void *context)
{
    int host_errno = errno;
    if (interrupted_at(context) - code_start >= code_end - code_start)
        return;
    handling++;
    for (int i = 0; i < 5; i++)
        PyMem_RawFree(PyMem_RawMalloc(3000));
    handling--;
    handled++;
    errno = host_errno;
}

/* allocate_in_signals(microseconds between them; 0: no more, start and end of the code that they interrupt)
 * -> how many there were */
static PyObject *allocate_in_signals(PyObject *module, PyObject *args)
{
    long every;
    unsigned long long start, end;
    if (!PyArg_ParseTuple(args, "lKK", &every, &start, &end))
        return NULL;
    code_start = start;
    code_end = end;
    struct itimerval timer = {{0, every}, {0, every}};
    struct sigaction action = {.sa_sigaction = allocate_in_handler, .sa_flags = SA_RESTART | SA_SIGINFO};
    if (!raw_below.malloc) {
        PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &raw_below);
        PyMemAllocatorEx safe = raw_below;
        safe.malloc = signal_safe_malloc;
        safe.free = signal_safe_free;
        PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &safe);
    }
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    return PyLong_FromLong(handled);
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
    {"allocate_in_signals", allocate_in_signals, METH_VARARGS, NULL},
    {"raw_storm_until_the_end", raw_storm_until_the_end, METH_O, NULL},
    {"allocate_aligned", allocate_aligned, METH_VARARGS, NULL},
    {"check_corners", check_corners, METH_NOARGS, NULL},
    {"hold_in_thread", hold_in_thread, METH_VARARGS, NULL},
    {"drop_in_thread", drop_in_thread, METH_O, NULL},
    {"hold_without_gil", hold_without_gil, METH_VARARGS, NULL},
    {"start_library", start_library, METH_NOARGS, NULL},
    {"stop_library", stop_library, METH_NOARGS, NULL},
    {"c_storm", c_storm, METH_VARARGS, NULL},
    {"map", map, METH_O, NULL},
    {"move", move, METH_VARARGS, NULL},
    {"unmap", unmap, METH_VARARGS, NULL},
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
