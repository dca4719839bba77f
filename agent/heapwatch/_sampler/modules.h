/* Which executable or shared library an address of code belongs to.
 *
 * Thread rule: in_module() anywhere; gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_MODULES_H
#define HEAPWATCH_MODULES_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

struct module {
    uintptr_t first, end; /* addresses; equal: none */
};

static inline bool in_module(const struct module *module, uintptr_t address)
{
    return address - module->first < module->end - module->first;
}

struct module gil_module_of(uintptr_t address);
PyObject *gil_native_text(uintptr_t address); /* new reference to (function, file, 0) */

#endif
