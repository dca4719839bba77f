/* The hooks of numpy's data allocator: array buffers, which numpy takes from the C library and keeps a cache of.
 *
 * In native mode the C allocator's own hooks count them, so these aren't put in place.
 *
 * Thread rule: inside numpy's allocations, under the GIL, which numpy may release while it clears a large block.
 * As in hooks.c: nothing of Python, and the table lock isn't held across a call.
 */
#include "arrays.h"

#include "hooks.h"

static struct array_allocator real;

static void *hook_array_begin(void *address, size_t size, uint32_t interval)
{
    if (address && size && interval)
        hook_track_below(address, size, interval, DOMAIN_MALLOC, 0);
    return address;
}

static void *hook_array_malloc(void *context, size_t size)
{
    uint32_t interval = unlikely(hook_count(size)) ? hook_rearm() : 0;
    return hook_array_begin(real.malloc(context, size), size, interval);
}

static void *hook_array_calloc(void *context, size_t count, size_t each)
{
    size_t size; /* of what overflows, none is sampled and none is had */
    uint32_t interval = !__builtin_mul_overflow(count, each, &size) && unlikely(hook_count(size)) ? hook_rearm() : 0;
    return hook_array_begin(real.calloc(context, count, each), size, interval);
}

static void *hook_array_realloc(void *context, void *old, size_t size)
{
    struct sample ended;
    uint32_t interval = unlikely(hook_count(size)) ? hook_rearm() : 0;
    bool was_sampled = hook_live_maybe(old) && hook_untrack(old, &ended);
    void *address = real.realloc(context, old, size);
    if (was_sampled)
        hook_kept_on_failure(address, &ended);
    return hook_array_begin(address, size, interval);
}

static void hook_array_free(void *context, void *address, size_t size)
{
    if (unlikely(hook_live_maybe(address)))
        hook_untrack(address, NULL);
    real.free(context, address, size);
}

void hook_arrays_wrap(struct array_allocator *place)
{
    real = *place;
    place->malloc = hook_array_malloc;
    place->calloc = hook_array_calloc;
    place->realloc = hook_array_realloc;
    place->free = hook_array_free;
}
