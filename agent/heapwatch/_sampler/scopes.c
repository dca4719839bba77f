/* Scopes: pieces of work whose memory is counted apart while they are open.
 *
 * Thread rule: under the table lock; no call to an allocator or to Python.
 */
#include "scopes.h"

#include <stddef.h>

#define NUMBERS ((1u << SCOPE_NUMBER_BITS) - 1)

_Static_assert(SCOPE_LIMIT <= NUMBERS && !(SCOPE_LIMIT & (SCOPE_LIMIT - 1)), "numbers must spread over all places");

uint64_t hook_scopes_refused;
static struct scope scopes[SCOPE_LIMIT];
static uint32_t last_number;
static uint64_t last_serial;

static struct scope *place_of(uint32_t number)
{
    return &scopes[number & (SCOPE_LIMIT - 1)];
}

static struct scope *find(struct scope_name name)
{
    struct scope *scope = place_of(name.number);
    return name.serial && scope->serial == name.serial ? scope : NULL;
}

/* By the number alone, as samples know it. A block that outlives its scope by exactly NUMBERS others, and is freed
 * while that one is open, is taken for its own. */
static struct scope *find_number(uint32_t number)
{
    struct scope *scope = place_of(number);
    return number && scope->serial && scope->number == number ? scope : NULL;
}

static struct scope *around(const struct scope *scope)
{
    return find((struct scope_name){scope->parent, scope->parent_serial});
}

struct scope_name hook_scope_open(struct scope_name parent)
{
    for (uint32_t tries = 0; tries < SCOPE_LIMIT; tries++) {
        last_number = last_number % NUMBERS + 1;
        struct scope *scope = place_of(last_number);
        if (scope->serial)
            continue;
        *scope = (struct scope){.serial = ++last_serial, .number = last_number, .parent = parent.number,
                                .parent_serial = parent.serial};
        return (struct scope_name){scope->number, scope->serial};
    }
    hook_scopes_refused++;
    return (struct scope_name){SCOPE_NONE, 0};
}

void hook_scope_read(struct scope_name name, struct scope *copy)
{
    const struct scope *scope = find(name);
    if (scope)
        *copy = *scope;
}

void hook_scope_close(struct scope_name name)
{
    struct scope *scope = find(name);
    if (scope)
        scope->serial = 0;
}

void hook_scope_allocated(uint32_t number, struct weight weight)
{
    for (struct scope *scope = find_number(number); scope; scope = around(scope)) {
        scope->alloc_objects += weight.objects;
        scope->alloc_bytes += weight.bytes;
    }
}

void hook_scope_retains(uint32_t number, double bytes)
{
    for (struct scope *scope = find_number(number); scope; scope = around(scope)) {
        scope->retained += bytes;
        if (scope->retained < 0)
            scope->retained = 0;
        if (scope->retained > scope->peak)
            scope->peak = scope->retained;
    }
}
