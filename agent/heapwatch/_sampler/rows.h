/* Rows: the totals of each (stack, caller, label, thread), kept as samples come and go, so that an export copies a few
 * thousand rows and not every sample.
 *
 * Thread rule: under the table lock; safe in hooks.
 */
#ifndef HEAPWATCH_ROWS_H
#define HEAPWATCH_ROWS_H

#include "memory.h"

#ifndef ROW_LIMIT
#define ROW_LIMIT (1u << 16) /* 72 bytes each: at most 4.5 MiB */
#endif

#define ROW_NONE 1     /* memory asked for outside Python code */
#define ROW_OVERFLOW 2 /* the row table was full */

struct row {
    uint32_t next; /* of the same hash */
    uint32_t stack, label, thread; /* stack 0: the row isn't used */
    uint32_t caller;     /* native code that asked for the memory; 0: Python itself */
    uint32_t samples;    /* live ones */
    uint32_t generation; /* forks that lay before what was allocated */
    uint32_t lifetimes;  /* entry of its stack and caller; 0: not known yet */
    uint64_t changed;    /* value of the clock when the row changed last */
    double live_objects, live_bytes, alloc_objects, alloc_bytes;
};

struct rows {
    struct pool pool;
    uint64_t clock;   /* one step for each change of a row */
    uint64_t refused; /* samples that found the table full */
};
extern struct rows rows;

static inline struct row *hook_row_at(uint32_t row)
{
    return hook_pool_at(&rows.pool, row);
}

bool hook_rows_open(void);
uint32_t hook_row_find(uint32_t stack, uint32_t caller, uint32_t label, uint32_t thread); /* ROW_OVERFLOW when full */
void hook_row_since_fork(struct row *row); /* forgets what was allocated before the last fork */
bool hook_rows_crowded(void);

/* Gives up rows that have no live samples and didn't change after the clock was at `shown`. */
void hook_rows_give_up(uint64_t shown);

struct thread_fold {
    uint32_t to;  /* the thread's rows become those of that thread; itself: they stay */
    bool carry;   /* what was allocated goes along */
};
void hook_rows_fold(const struct thread_fold *folds);

#endif
