/* Scopes: pieces of work, such as requests, whose memory is counted apart while they are open.
 *
 * A sample carries the number of the scope that it was allocated in, so what the scope's memory comes to is known
 * whichever thread frees it, and whenever. What counts in a scope counts in those around it as well.
 *
 * Thread rule: under the table lock; safe in hooks.
 */
#ifndef HEAPWATCH_SCOPES_H
#define HEAPWATCH_SCOPES_H

#include "estimate.h"

#include <stdbool.h>

#define SCOPE_NUMBER_BITS 15
#define SCOPE_NONE 0
#ifndef SCOPE_LIMIT
#define SCOPE_LIMIT 4096 /* open at the same time; a power of two */
#endif

/* Estimates in bytes and blocks. `retained` is what was allocated in the scope and lives, `peak` its largest. */
struct scope {
    uint64_t serial; /* 0: closed */
    uint32_t number; /* 1 to 2^SCOPE_NUMBER_BITS - 1, taken in turn */
    uint32_t parent; /* number of the scope around it */
    uint64_t parent_serial;
    double alloc_objects, alloc_bytes, retained, peak;
};

struct scope_name {
    uint32_t number;
    uint64_t serial; /* tells apart those that had the number in turn */
};

extern uint64_t hook_scopes_refused; /* scopes that found the table full, and count nothing */

struct scope_name hook_scope_open(struct scope_name parent); /* SCOPE_NONE when the table is full */
void hook_scope_read(struct scope_name name, struct scope *copy); /* leaves it alone when the scope isn't open */
void hook_scope_close(struct scope_name name);
void hook_scope_allocated(uint32_t number, struct weight weight);
void hook_scope_retains(uint32_t number, double bytes); /* so much more, or less */

#endif
