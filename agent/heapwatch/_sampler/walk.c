/* A walk over all objects that the garbage collector tracks, the frozen ones included, in steps of limited time.
 *
 * A list of them all (gc.get_objects) stops the interpreter for as long as the heap is large, takes a reference to
 * each, so that forked processes get copies of the pages they shared, and is itself an object that refers to all. So
 * the collector's own lists are followed instead. Between two steps objects come and go: the place is kept by a
 * bookmark, the walk object itself, which the collector tracks like any other and which is moved along the list.
 *
 * Whatever collections do meanwhile, nothing that lives all the while is left out. They append to the older list what
 * they move, behind the bookmark, or take the bookmark along with its list; what a full collection first took for
 * garbage it moves to the end. So a walk goes from the oldest list to the youngest, and begins a list anew when it finds
 * itself at the end of another one. A full collection alone puts what is youngest before what is younger: if one comes
 * while the bookmark is among those, the walk begins with the oldest again. Something may be seen twice. What is frozen
 * and unfrozen between two steps may be left out.
 *
 * Tuples are passed over: they are reached through those who refer to them. One that is still being built is referred
 * to by nothing, and a second reference would fail its builder (gh-59313).
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include "walk.h"

#include "asserts.h"
#include "census.h"
#include "objects.h"
#include "referrers.h"

#include <stddef.h>
#include <time.h>

#define LOOKS_PER_CLOCK 256
#define OLDEST 1  /* lists of the walk; see gil_heap_list */
#define YOUNGER 2
#define LEAST_LOOKED 1024 /* objects a step, so that a walk comes to its end on a busy machine too */

static double gil_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void gil_step_begin(struct step *step, struct walk *walk, double seconds)
{
    struct _gc_runtime_state *gc = &PyInterpreterState_Get()->gc;
    PyGC_Head *at = walk->started ? _Py_AS_GC((PyObject *)walk) : gil_heap_list(gc, 0);
    walk->started = true;
    *step = (struct step){.walk = walk, .gc = gc, .at = at, .deadline = gil_now() + seconds};
}

static bool gil_time_over(const struct step *step)
{
    return step->looked >= LEAST_LOOKED && gil_now() > step->deadline;
}

static Py_ssize_t gil_full_collections(const struct step *step)
{
    return step->gc->generation_stats[NUM_GENERATIONS - 1].collections;
}

/* The oldest list ends here, with the bookmark in it that was put among what is younger. */
static bool gil_young_went_before(const struct step *step)
{
    bool moved = step->gc->collecting || gil_full_collections(step) != step->walk->full_collections;
    return step->walk->list == YOUNGER && moved; /* the collection under way isn't counted yet */
}

/* Moves on from the end of a list; false at the end of them all. */
static bool gil_turn(struct step *step, const PyGC_Head *end)
{
    bool own = end == gil_heap_list(step->gc, step->walk->list);
    if (!own && end == gil_heap_list(step->gc, 0))
        step->walk->list = 0; /* a freeze puts what is young before the bookmark */
    else if (!own && gil_young_went_before(step))
        step->walk->list = OLDEST;
    else if (own && ++step->walk->list == HEAP_LISTS) {
        step->walk->done = true;
        return false;
    }
    if (step->walk->list == YOUNGER)
        step->walk->full_collections = gil_full_collections(step);
    step->at = gil_heap_list(step->gc, step->walk->list);
    return true;
}

static bool gil_is_head(const struct step *step, const PyGC_Head *head)
{
    for (int list = 0; list < HEAP_LISTS; list++)
        if (head == gil_heap_list(step->gc, list))
            return true;
    return false;
}

PyObject *gil_step_next(struct step *step)
{
    while (!step->walk->done) {
        if (step->looked % LOOKS_PER_CLOCK == LOOKS_PER_CLOCK - 1 && gil_time_over(step))
            return NULL;
        PyGC_Head *next = _PyGCHead_NEXT(step->at);
        if (gil_is_head(step, next)) {
            if (!gil_turn(step, next))
                return NULL;
            continue;
        }
        step->at = next;
        step->looked++;
        PyObject *object = (PyObject *)(next + 1);
        if (object != (PyObject *)step->walk && !PyTuple_CheckExact(object))
            return object;
    }
    return NULL;
}

void gil_step_end(struct step *step)
{
    step->walk->seen += step->looked;
    if (!step->walk->done)
        gil_move_behind(_Py_AS_GC((PyObject *)step->walk), step->at);
}

/* --- the Python type ----------------------------------------------------------------------------------------- */

static PyObject *gil_walk_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"stacks", "limit", NULL};
    PyObject *stacks = NULL;
    Py_ssize_t limit = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O!n:Walk", names, &PyList_Type, &stacks, &limit))
        return NULL;
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_RuntimeError, "objects are searched in the main interpreter only; ask there");
        return NULL;
    }
#ifdef Py_GIL_DISABLED
    PyErr_SetString(PyExc_RuntimeError, "objects can't be searched without the GIL; run a Python that isn't free-threaded");
    return NULL;
#endif
    struct walk *walk = (struct walk *)type->tp_alloc(type, 0);
    if (walk && stacks && !(walk->search = gil_search_open(stacks, limit)))
        Py_CLEAR(walk);
    return (PyObject *)walk;
}

static void gil_walk_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    gil_search_close(((struct walk *)self)->search);
    type->tp_free(self);
    Py_DECREF(type);
}

static int gil_walk_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static PyObject *gil_walk_referrers(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"targets", "seconds", NULL};
    PyObject *targets;
    double seconds;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!d:referrers", names, &PyList_Type, &targets, &seconds))
        return NULL;
    ASSERT_GIL();
    return gil_referrers((struct walk *)self, targets, seconds);
}

static PyObject *gil_walk_objects(PyObject *self, PyObject *seconds)
{
    double limit = PyFloat_AsDouble(seconds);
    if (limit == -1.0 && PyErr_Occurred())
        return NULL;
    ASSERT_GIL();
    return gil_search_step((struct walk *)self, limit);
}

static PyObject *gil_walk_census(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"stride", "seconds", NULL};
    unsigned int stride;
    double seconds;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Id:census", names, &stride, &seconds))
        return NULL;
    ASSERT_GIL();
    return gil_census((struct walk *)self, stride ? stride : 1, seconds);
}

static PyObject *gil_walk_done(PyObject *self, void *unused)
{
    return PyBool_FromLong(((struct walk *)self)->done);
}

static PyObject *gil_walk_seen(PyObject *self, void *unused)
{
    return PyLong_FromSsize_t(((struct walk *)self)->seen);
}

#define KEYWORDS (METH_VARARGS | METH_KEYWORDS)
static PyMethodDef methods[] = {
    {"referrers", (PyCFunction)(void (*)(void))gil_walk_referrers, KEYWORDS, NULL},
    {"objects", gil_walk_objects, METH_O, NULL},
    {"census", (PyCFunction)(void (*)(void))gil_walk_census, KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"done", gil_walk_done, NULL, NULL, NULL},
    {"seen", gil_walk_seen, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, gil_walk_new},         {Py_tp_dealloc, gil_walk_dealloc}, {Py_tp_traverse, gil_walk_traverse},
    {Py_tp_methods, methods},          {Py_tp_getset, properties},        {0, NULL},
};

static PyType_Spec spec = {
    .name = "heapwatch._sampler.Walk",
    .basicsize = sizeof(struct walk),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int gil_walk_open(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&spec);
    int result = PyModule_AddObjectRef(module, "Walk", type); /* -1 when there is none */
    Py_XDECREF(type);
    return result;
}
