/* `_sampler.Scope`: a label and a scope in one object, for a context variable to hold.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include "scope_type.h"

#include "context.h"
#include "lock.h"
#include "scopes.h"

#include <stddef.h>
#include <structmember.h>

static PyTypeObject gil_scope_type;

static struct scope_name gil_name(const struct scope_object *scope)
{
    return (struct scope_name){scope->number, scope->serial};
}

static void gil_close(struct scope_object *scope, struct scope *counts)
{
    bool taken = hook_lock();
    if (counts)
        hook_scope_read(gil_name(scope), counts);
    hook_scope_close(gil_name(scope));
    hook_unlock(taken);
    scope->number = SCOPE_NONE;
    scope->serial = 0;
}

static void gil_dealloc(PyObject *self)
{
    struct scope_object *scope = (struct scope_object *)self;
    if (scope->number)
        gil_close(scope, NULL);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *gil_counts(const struct scope *counts)
{
    return Py_BuildValue("dddd", counts->alloc_bytes, counts->alloc_objects, counts->retained, counts->peak);
}

static PyObject *gil_open_method(PyObject *self, PyObject *around)
{
    struct scope_object *scope = (struct scope_object *)self;
    struct scope_name parent = {SCOPE_NONE, 0};
    if (PyObject_TypeCheck(around, &gil_scope_type))
        parent = gil_name((struct scope_object *)around);
    else if (around != Py_None)
        return PyErr_Format(PyExc_TypeError, "the scope around must be a Scope or None");
    bool taken = hook_lock();
    hook_scope_close(gil_name(scope));
    struct scope_name name = hook_scope_open(parent);
    hook_unlock(taken);
    scope->number = name.number;
    scope->serial = name.serial;
    Py_RETURN_NONE;
}

static PyObject *gil_counts_method(PyObject *self, PyObject *unused)
{
    struct scope counts = {0};
    bool taken = hook_lock();
    hook_scope_read(gil_name((struct scope_object *)self), &counts);
    hook_unlock(taken);
    return gil_counts(&counts);
}

static PyObject *gil_close_method(PyObject *self, PyObject *unused)
{
    struct scope counts = {0};
    gil_close((struct scope_object *)self, &counts);
    return gil_counts(&counts);
}

static PyMethodDef methods[] = {
    {"open", gil_open_method, METH_O, NULL},
    {"counts", gil_counts_method, METH_NOARGS, NULL},
    {"close", gil_close_method, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"label", T_UINT, offsetof(struct scope_object, label), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyTypeObject gil_scope_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "heapwatch._sampler.Scope",
    .tp_doc = "A piece of work whose memory is counted apart.",
    .tp_basicsize = sizeof(struct scope_object),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = PyType_GenericNew,
    .tp_dealloc = gil_dealloc,
    .tp_methods = methods,
    .tp_members = members,
};

static PyObject *gil_follow(PyObject *module, PyObject *variable)
{
    if (!PyContextVar_CheckExact(variable))
        return PyErr_Format(PyExc_TypeError, "not a ContextVar");
    Py_hash_t hash = PyObject_Hash(variable);
    hook_follow(Py_NewRef(variable), hash);
    Py_RETURN_NONE;
}

static PyObject *gil_current_label(PyObject *module, PyObject *unused)
{
    return PyLong_FromUnsignedLong(hook_work(true).label);
}

static PyMethodDef functions[] = {
    {"follow", gil_follow, METH_O, NULL},
    {"current_label", gil_current_label, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

int gil_add_scope_type(PyObject *module)
{
    if (PyModule_AddType(module, &gil_scope_type) < 0 || PyModule_AddFunctions(module, functions) < 0)
        return -1;
    hook_scope_type = &gil_scope_type;
    return 0;
}
