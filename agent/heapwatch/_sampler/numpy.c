/* Finds numpy's data allocator, without numpy's headers.
 *
 * numpy allocates the data of an array by the handler (NEP 49) that is set in the thread's context, and frees it by
 * the same one. Setting another handler would reach one context only. But the handler that everybody has unless told
 * otherwise is one structure, and its functions are exchanged for ours. Arrays made before are freed by them as well,
 * and found to be no samples. Handlers that a program sets itself are left alone.
 *
 * The table's slots are part of numpy's binary interface: they never move.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#define _GNU_SOURCE
#include "numpy.h"

#include "arrays.h"
#include "asserts.h"
#include "hooks.h"

#include <link.h>
#include <string.h>

#define SLOT_ARRAY_TYPE 2
#define SLOT_FEATURE_VERSION 211
#define SLOT_DEFAULT_HANDLER 306
#define FEATURE_VERSION 0x0f /* numpy 1.22 */

static PyTypeObject *array_type;
static bool watching;

/* Runs under the linker's lock: calls nothing. */
static int gil_visit_segments(struct dl_phdr_info *info, size_t size, void *argument)
{
    uintptr_t *address = argument;
    bool writable = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (*address - (info->dlpi_addr + part->p_vaddr) >= part->p_memsz)
            continue;
        if (part->p_type == PT_GNU_RELRO)
            return 0;
        writable |= part->p_type == PT_LOAD && (part->p_flags & PF_W);
    }
    if (writable)
        *address = 0;
    return writable;
}

static bool gil_writable(const void *address)
{
    uintptr_t place = (uintptr_t)address;
    dl_iterate_phdr(gil_visit_segments, &place);
    return !place;
}

static struct array_handler *gil_default_handler(void **slots)
{
    unsigned (*feature_version)(void) = (unsigned (*)(void))slots[SLOT_FEATURE_VERSION];
    if (feature_version() < FEATURE_VERSION)
        return NULL;
    PyObject *capsule = *(PyObject **)slots[SLOT_DEFAULT_HANDLER];
    return PyCapsule_IsValid(capsule, "mem_handler") ? PyCapsule_GetPointer(capsule, "mem_handler") : NULL;
}

static bool gil_is_known(const struct array_handler *handler)
{
    const struct array_allocator *allocator = &handler->allocator;
    return handler->version == 1 && !strncmp(handler->name, "default_allocator", sizeof handler->name) &&
           allocator->malloc && allocator->calloc && allocator->realloc && allocator->free && gil_writable(handler);
}

const char *gil_watch_arrays(PyObject *table)
{
    ASSERT_GIL();
    if (watching || hooks.native)
        return "";
    void **slots = PyCapsule_CheckExact(table) ? PyCapsule_GetPointer(table, PyCapsule_GetName(table)) : NULL;
    if (!slots)
        return PyErr_Clear(), "this is not numpy's table of functions";
    struct array_handler *handler = gil_default_handler(slots);
    if (!handler || !gil_is_known(handler))
        return "its data allocator is of an unknown kind; numpy 1.22 to 2.4 are known";
    array_type = slots[SLOT_ARRAY_TYPE];
    hook_arrays_wrap(&handler->allocator);
    watching = true;
    return "";
}

bool gil_is_array(PyObject *object)
{
    return array_type && PyObject_TypeCheck(object, array_type);
}
