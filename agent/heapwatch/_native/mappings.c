/* Big blocks that are mapped from the kernel past the C allocator.
 *
 * Counted are private anonymous mappings that can be written to at once: not reservations (PROT_NONE,
 * MAP_NORESERVE), not stacks, not code, not pages put into an existing mapping, and nothing below BIG bytes. The C
 * library's own mappings (big mallocs, thread stacks) don't come by here; those of another preloaded allocator and
 * the interpreter's arenas do and are left out by the sampler, which knows who called.
 *
 * A sample ends when the first page of its mapping is unmapped. mremap is a fresh draw of the whole new size, as
 * realloc is; what it moves isn't asked for, so a file's mapping that is resized counts as well.
 *
 * Thread rule: as in native.h.
 */
#define _GNU_SOURCE
#include "library.h"

#include <stdarg.h>
#include <sys/mman.h>

#define BIG (64 * 1024)
#define LEFT_OUT (MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_STACK | MAP_GROWSDOWN | MAP_NORESERVE | MAP_SHARED)

static bool counted(size_t size, int protection, int flags)
{
    return size >= BIG && (protection & (PROT_WRITE | PROT_EXEC)) == PROT_WRITE && (flags & MAP_ANONYMOUS) &&
           !(flags & LEFT_OUT);
}

EXPORT void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    uint32_t interval = counted(size, protection, flags) && due(size) ? take(size) : 0;
    void *mapped = real.mmap(address, size, protection, flags, file, offset);
    if (interval && mapped != MAP_FAILED)
        begin(mapped, size, interval, CALLER, true);
    return mapped;
}

EXPORT void *mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset)
    __attribute__((alias("mmap")));

EXPORT int munmap(void *address, size_t size)
{
    struct native_ended ended;
    const struct native_sampler *sampler = maybe_sampled(address);
    bool was_sampled = sampler && end(sampler, address, &ended);
    int error = real.munmap(address, size);
    if (error && was_sampled)
        restore(sampler, &ended);
    return error;
}

EXPORT void *mremap(void *old, size_t old_size, size_t size, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    void *to = flags & MREMAP_FIXED ? va_arg(arguments, void *) : NULL;
    va_end(arguments);
    struct native_ended ended;
    const struct native_sampler *sampler = maybe_sampled(old);
    bool was_sampled = sampler && end(sampler, old, &ended);
    uint32_t interval = size >= BIG && due(size) ? take(size) : 0;
    void *moved = real.mremap(old, old_size, size, flags, to);
    if (moved == MAP_FAILED && was_sampled)
        restore(sampler, &ended);
    else if (moved != MAP_FAILED && interval)
        begin(moved, size, interval, CALLER, true);
    return moved;
}
