/* The live table: which sampled blocks are alive.
 *
 * Thread rule: everything here but hook_live_maybe() runs under the table lock.
 */
#ifndef HEAPWATCH_LIVE_H
#define HEAPWATCH_LIVE_H

#include "../_native/native.h"
#include "memory.h"
#include "random.h"
#include "rows.h"
#include "scopes.h"

#include <stdatomic.h>

#define RAW_BACKED 513         /* bytes from which pymalloc passes a request on to the RAW domain */
#ifndef LIVE_LIMIT
#define LIVE_LIMIT (1u << 18)  /* samples; at most 8 MiB of records and 11 MiB of heads */
#endif
#define INTERVAL_LIMIT (1u << 30)

/* Python's own, which are hooked one by one; and what is counted below them, in the RAW domain or, in native
 * mode, the C allocator. */
enum domain { DOMAIN_OBJ, DOMAIN_MEM, DOMAIN_COUNT, DOMAIN_RAW = DOMAIN_COUNT, DOMAIN_MALLOC };

_Static_assert(ROW_LIMIT < 1u << (32 - SCOPE_NUMBER_BITS), "a sample must name each row");

#define SIZE_MOST (((uint64_t)1 << 46) - 1)

struct sample {
    uint32_t next; /* of the same head; 0 ends. Of one that ended: bucket of its age */
    uint32_t row : 32 - SCOPE_NUMBER_BITS, scope : SCOPE_NUMBER_BITS; /* scope: that it was allocated in */
    uintptr_t address;
    uint64_t size : 46, domain : 2, generation : 16; /* generation: forks that lay before the sample */
    uint32_t interval;                                /* that the sample was drawn at */
    uint32_t birth;                                   /* tick; see lifetimes.h */
};

struct live {
    struct pool samples;
    struct generator random;
    uint32_t count, inherited; /* live samples; those of them older than the last fork */
    uint32_t generation;
    uint32_t interval;         /* of the next draw */
    uint64_t drawn, thinned, doublings;
    uint64_t full, displaced;  /* samples lost: no room at the largest interval; their frees went past us */
    uint64_t padding;          /* bytes by which small live samples would be padded to RAW_BACKED */
    double alloc_objects, alloc_bytes, live_objects, live_bytes;
    double peak_bytes;         /* the most that live_bytes ever was, since the last fork */
    uint32_t peak, peak_tick;  /* counts the times that it was exceeded; when that was last */
    double high_water;         /* the most that live_bytes was since somebody asked */
};
extern struct live live;

/* Heads of the chains, published as one word so that a reader without the lock never sees a half. */
extern _Atomic uintptr_t live_heads; /* address of the array | bits that a hash is shifted by to index it */

static inline size_t hook_live_slot(uintptr_t address, unsigned shift)
{
    return (size_t)(native_hash((const void *)address) >> shift);
}

/* False: the block is certainly not sampled. True: ask under the lock.
 *
 * Safe without the lock: whoever frees a sampled block got its address from the malloc that inserted it, so
 * its chain is non-empty here, in this array or (if the array was exchanged meanwhile) in an older one, which
 * stays mapped and keeps what it held at the exchange.
 */
static inline bool hook_live_maybe(void *address)
{
    return native_maybe(&live_heads, address);
}

bool hook_live_open(void);
void hook_live_insert(const struct sample *sample);               /* counts as allocated and live */
bool hook_live_end(void *address, struct sample *ended);          /* false: not sampled */
bool hook_live_find(uintptr_t address, struct sample *found);     /* false: not sampled */
void hook_live_restore(const struct sample *ended);               /* undo an end: live, not allocated again */
void hook_live_flush(void);                                       /* samples of Python's domains are lost, and counted so */
void hook_live_forked(void);                                      /* in the child */
#endif
