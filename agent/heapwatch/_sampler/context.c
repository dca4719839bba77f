/* Looks up a context variable without Python's API, which could raise or run code.
 *
 * A context's variables are a hash array mapped trie (Bagwell 2001; CPython's Python/hamt.c): nodes hold 32 ways by
 * five bits of the hash, either all of them (array) or those that exist (bitmap). Nodes don't change once they are in
 * a context, and the context that runs keeps them alive. The node types are private, so they are told apart by name
 * and declared here; scope_type.c's caller tries the lookup before it relies on it.
 *
 * Thread rule: plain reads; safe in hooks.
 */
#include "compat.h"

#include "context.h"

#include "threads.h"

#include <string.h>

#define BITS 5
#define WAYS (1u << BITS)
#define DEPTH_MOST 8

struct array_node {
    PyObject_HEAD
    PyObject *children[WAYS];
};

struct bitmap_node {
    PyObject_VAR_HEAD
    uint32_t bitmap;
    PyObject *pairs[1]; /* key and value, or NULL and a node */
};

PyTypeObject *hook_scope_type;
static PyObject *followed;
static uint32_t followed_hash;

void hook_follow(PyObject *variable, Py_hash_t hash)
{
    followed_hash = (uint32_t)hash ^ (uint32_t)((uint64_t)hash >> 32);
    if (followed_hash == UINT32_MAX)
        followed_hash = UINT32_MAX - 1; /* as hamt_hash() */
    followed = variable;
}

static PyObject *in_array(PyObject *node, uint32_t way)
{
    return ((struct array_node *)node)->children[way];
}

/* The node below, or NULL; *value is set when the variable is in this node. */
static PyObject *in_bitmap(PyObject *node, uint32_t way, PyObject **value)
{
    struct bitmap_node *bitmap = (struct bitmap_node *)node;
    uint32_t bit = 1u << way;
    if (!(bitmap->bitmap & bit))
        return NULL;
    PyObject **pair = bitmap->pairs + 2 * __builtin_popcount(bitmap->bitmap & (bit - 1));
    if (!pair[0])
        return pair[1];
    if (pair[0] == followed)
        *value = pair[1];
    return NULL;
}

/* Two variables of the same 32-bit hash are in a node of a third kind: then ours counts as not set. */
static PyObject *look_up(PyObject *node)
{
    PyObject *value = NULL;
    for (unsigned depth = 0; node && depth < DEPTH_MOST; depth++) {
        uint32_t way = depth * BITS < 32 ? followed_hash >> depth * BITS & (WAYS - 1) : 0;
        const char *kind = Py_TYPE(node)->tp_name;
        if (!strcmp(kind, "hamt_bitmap_node"))
            node = in_bitmap(node, way, &value);
        else if (!strcmp(kind, "hamt_array_node"))
            node = in_array(node, way);
        else
            node = NULL;
    }
    return value;
}

static const struct scope_object *current_scope(void)
{
    const PyThreadState *state = hook_thread_state();
    const PyContext *context = (const PyContext *)state->context;
    if (!followed || !context || !context->ctx_vars)
        return NULL;
    PyObject *value = look_up((PyObject *)context->ctx_vars->h_root);
    const PyTypeObject *type = value ? Py_TYPE(value) : NULL;
    while (type && type != hook_scope_type)
        type = type->tp_base;
    return type ? (const struct scope_object *)value : NULL;
}

struct work hook_work(bool python)
{
    const struct scope_object *scope = python ? current_scope() : NULL;
    if (!scope)
        return (struct work){hook_label(), 0};
    return (struct work){scope->label ? scope->label : hook_label(), scope->number};
}
