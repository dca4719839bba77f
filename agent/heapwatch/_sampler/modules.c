/* Which executable or shared library an address of code belongs to, and which of its functions.
 *
 * The dynamic linker's list is read under the linker's own lock, so nothing can be unloaded meanwhile; names are
 * copied before it is released.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#define _GNU_SOURCE
#include "modules.h"

#include "asserts.h"
#include "symbols.h"

#include <limits.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

#define NATIVE_FUNCTION "[native]"
#define FUNCTION_MOST 1024 /* C++ has long ones; longer ones are cut */

struct place {
    uintptr_t address;
    struct module module;
    char file[PATH_MAX], function[FUNCTION_MOST];
};

static bool contains(const struct dl_phdr_info *info, uintptr_t address, struct module *module)
{
    bool inside = false;
    *module = (struct module){UINTPTR_MAX, 0};
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_LOAD)
            continue;
        uintptr_t first = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr, end = first + info->dlpi_phdr[i].p_memsz;
        inside |= address >= first && address < end;
        module->first = first < module->first ? first : module->first;
        module->end = end > module->end ? end : module->end;
    }
    return inside;
}

/* By its name a frame must be known for native code when its function is (heapwatch_wire.sites.is_native). */
static bool named_as_library(const char *file)
{
    const char *end = NULL;
    for (const char *found = file; (found = strstr(found, ".so")); found += 3)
        end = found + 3;
    return end && (!*end || (*end == '.' && !end[strspn(end, ".0123456789")]));
}

/* Runs under the linker's lock: only reads. */
static int gil_visit_module(struct dl_phdr_info *info, size_t size, void *argument)
{
    struct place *place = argument;
    struct module module;
    if (!contains(info, place->address, &module))
        return 0;
    place->module = module;
    strncpy(place->file, info->dlpi_name, sizeof place->file - 1);
    return 1;
}

/* The same, and which function: a look at each that the module exports. Runs under the linker's lock: only reads. */
static int gil_visit_function(struct dl_phdr_info *info, size_t size, void *argument)
{
    struct place *place = argument;
    if (!gil_visit_module(info, size, argument))
        return 0;
    const char *function = named_as_library(place->file) ? exported_function(info, place->address) : NULL;
    strncpy(place->function, function ? function : NATIVE_FUNCTION, sizeof place->function - 1);
    return 1;
}

struct module gil_module_of(uintptr_t address)
{
    ASSERT_GIL();
    static struct place place;
    place = (struct place){.address = address};
    dl_iterate_phdr(gil_visit_module, &place);
    return place.module;
}

static PyObject *gil_function(const char *name)
{
    return PyUnicode_DecodeUTF8(name, (Py_ssize_t)strlen(name), "replace");
}

PyObject *gil_native_text(uintptr_t address)
{
    ASSERT_GIL();
    static struct place place; /* large; read again before anything can run that changes it */
    memset(&place, 0, sizeof place);
    place.address = address - 1; /* the call itself may be the last of its function */
    if (!dl_iterate_phdr(gil_visit_function, &place))
        return Py_BuildValue("ssi", NATIVE_FUNCTION, "[unloaded]", 0);
    if (!place.file[0] && readlink("/proc/self/exe", place.file, sizeof place.file - 1) < 0)
        strcpy(place.file, "[program]");
    return Py_BuildValue("NNi", gil_function(place.function), PyUnicode_DecodeFSDefault(place.file), 0);
}
