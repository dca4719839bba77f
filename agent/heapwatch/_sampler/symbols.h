/* Which exported function of an executable or shared library an address of code belongs to.
 *
 * Thread rule: only while the module can't be unloaded; calls nothing that allocates or locks.
 */
#ifndef HEAPWATCH_SYMBOLS_H
#define HEAPWATCH_SYMBOLS_H

#include <link.h>
#include <stdint.h>

/* A name inside the module's own memory; NULL for a function that isn't exported. */
const char *exported_function(const struct dl_phdr_info *info, uintptr_t address);

#endif
