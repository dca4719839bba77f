/* What the current thread works on: a label (endpoint), and the scope that counts its memory.
 *
 * Python code says so in a context variable, whose value is a scope object (scope_type.c). So it follows tasks over
 * their awaits, calls that a task hands to threads, and greenlets, at no cost when they switch: the variable is
 * looked up when a sample is taken. A thread without one has the label of set_label.
 *
 * Thread rule: plain reads; safe in hooks.
 */
#ifndef HEAPWATCH_CONTEXT_H
#define HEAPWATCH_CONTEXT_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

struct scope_object {
    PyObject_HEAD
    uint32_t label;
    uint32_t number; /* of the scope, SCOPE_NONE when it is closed */
    uint64_t serial;
};

struct work {
    uint32_t label, scope;
};

extern PyTypeObject *hook_scope_type;

/* `python`: the current thread holds the GIL of the main interpreter. */
struct work hook_work(bool python);
void hook_follow(PyObject *variable, Py_hash_t hash); /* the context variable, which must live for ever */

#endif
