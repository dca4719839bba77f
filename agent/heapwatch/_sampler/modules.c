/* Which executable or shared library an address of code belongs to.
 *
 * The dynamic linker's list is read under the linker's own lock, so nothing can be unloaded meanwhile; names are
 * copied before it is released.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#define _GNU_SOURCE
#include "modules.h"

#include "asserts.h"

#include <limits.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

#define NATIVE_FUNCTION "[native]"

struct place {
    uintptr_t address;
    struct module module;
    char file[PATH_MAX];
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

/* Runs under the linker's lock: calls nothing. */
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

struct module gil_module_of(uintptr_t address)
{
    ASSERT_GIL();
    static struct place place;
    place = (struct place){.address = address};
    dl_iterate_phdr(gil_visit_module, &place);
    return place.module;
}

PyObject *gil_native_text(uintptr_t address)
{
    ASSERT_GIL();
    static struct place place; /* large; read again before anything can run that changes it */
    memset(&place, 0, sizeof place);
    place.address = address - 1; /* the call itself may be the last of its function */
    if (!dl_iterate_phdr(gil_visit_module, &place))
        return Py_BuildValue("ssi", NATIVE_FUNCTION, "[unloaded]", 0);
    if (!place.file[0] && readlink("/proc/self/exe", place.file, sizeof place.file - 1) < 0)
        strcpy(place.file, "[program]");
    return Py_BuildValue("sNi", NATIVE_FUNCTION, PyUnicode_DecodeFSDefault(place.file), 0);
}
