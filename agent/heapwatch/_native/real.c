/* Finds the functions that we stand in front of.
 *
 * That happens at the first call of any of them, which may be before our constructor and long before main().
 * dlsym() itself may allocate; it gets blocks of a small buffer, whose end is never felt: they are recognized by
 * their address and not freed.
 *
 * Thread rule: as in native.h. Before the functions are found, there is one thread.
 */
#define _GNU_SOURCE
#include "real.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool resolving;
_Alignas(16) char early[EARLY_BYTES];
static _Atomic size_t early_used;

/* 16 bytes before each block hold its size. */
static void *early_malloc(size_t size)
{
    if (size > EARLY_BYTES)
        return NULL;
    size_t bytes = 16 + ((size + 15) & ~(size_t)15), at = atomic_fetch_add(&early_used, bytes);
    if (at + bytes > EARLY_BYTES)
        return NULL;
    memcpy(early + at, &size, sizeof size);
    return early + at + 16; /* never used twice, so it is zeroed */
}

size_t early_size(const void *address)
{
    size_t size;
    memcpy(&size, (const char *)address - 16, sizeof size);
    return size;
}

static void *find(const char *name, void *otherwise)
{
    void *found = dlsym(RTLD_NEXT, name);
    return found ? found : otherwise;
}

static void resolve(void)
{
    resolving = true;
    struct real found = real;
    found.malloc = find("malloc", found.malloc);
    found.calloc = find("calloc", found.calloc);
    found.realloc = find("realloc", found.realloc);
    found.free = find("free", found.free);
    found.posix_memalign = find("posix_memalign", found.posix_memalign);
    found.aligned_alloc = find("aligned_alloc", found.aligned_alloc);
    found.memalign = find("memalign", found.memalign);
    found.valloc = find("valloc", found.valloc);
    found.pvalloc = find("pvalloc", found.pvalloc);
    found.mmap = find("mmap", found.mmap);
    found.munmap = find("munmap", found.munmap);
    found.mremap = find("mremap", found.mremap);
    real = found;
    library.real_malloc = found.malloc;
    resolving = false;
}

static __attribute__((constructor)) void resolve_at_load(void)
{
    if (!resolving)
        resolve();
}

/* True: the function is known now. A function that nobody has stays the first one, and refuses. */
#define FOUND(name) (!resolving && (real.name != first_##name || (resolve(), real.name != first_##name)))

static void *refused(void)
{
    errno = ENOMEM;
    return NULL;
}

static void *first_malloc(size_t size)
{
    return FOUND(malloc) ? real.malloc(size) : early_malloc(size);
}

static void *first_calloc(size_t count, size_t each)
{
    size_t size;
    if (FOUND(calloc))
        return real.calloc(count, each);
    return __builtin_mul_overflow(count, each, &size) ? refused() : early_malloc(size);
}

static void *first_realloc(void *old, size_t size)
{
    if (FOUND(realloc))
        return real.realloc(old, size);
    void *moved = early_malloc(size);
    if (moved && old)
        memcpy(moved, old, early_size(old) < size ? early_size(old) : size);
    return moved;
}

static void first_free(void *address)
{
    if (FOUND(free))
        real.free(address);
}

static int first_posix_memalign(void **address, size_t alignment, size_t size)
{
    return FOUND(posix_memalign) ? real.posix_memalign(address, alignment, size) : ENOMEM;
}

static void *first_aligned_alloc(size_t alignment, size_t size)
{
    return FOUND(aligned_alloc) ? real.aligned_alloc(alignment, size) : refused();
}

static void *first_memalign(size_t alignment, size_t size)
{
    return FOUND(memalign) ? real.memalign(alignment, size) : refused();
}

static void *first_valloc(size_t size)
{
    return FOUND(valloc) ? real.valloc(size) : refused();
}

static void *first_pvalloc(size_t size)
{
    return FOUND(pvalloc) ? real.pvalloc(size) : refused();
}

static void *first_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    if (FOUND(mmap))
        return real.mmap(address, size, protection, flags, file, offset);
    return (void *)syscall(SYS_mmap, address, size, protection, flags, file, offset);
}

static int first_munmap(void *address, size_t size)
{
    return FOUND(munmap) ? real.munmap(address, size) : (int)syscall(SYS_munmap, address, size);
}

static void *first_mremap(void *old, size_t old_size, size_t size, int flags, void *to)
{
    if (FOUND(mremap))
        return real.mremap(old, old_size, size, flags, to);
    return (void *)syscall(SYS_mremap, old, old_size, size, flags, to);
}

struct real real = {
    .malloc = first_malloc,
    .calloc = first_calloc,
    .realloc = first_realloc,
    .free = first_free,
    .posix_memalign = first_posix_memalign,
    .aligned_alloc = first_aligned_alloc,
    .memalign = first_memalign,
    .valloc = first_valloc,
    .pvalloc = first_pvalloc,
    .mmap = first_mmap,
    .munmap = first_munmap,
    .mremap = first_mremap,
};
