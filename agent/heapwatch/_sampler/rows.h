/* Rows: the totals of each (stack, caller, label, thread), kept as samples come and go, so that an export copies a few
 * thousand rows and not every sample.
 *
 * Thread rule: under the table lock; safe in hooks.
 */
#ifndef HEAPWATCH_ROWS_H
#define HEAPWATCH_ROWS_H

#include "memory.h"

#ifndef ROW_LIMIT
#define ROW_LIMIT (1u << 16) /* 120 bytes each: at most 7.5 MiB */
#endif

#define ROW_NONE 1     /* memory asked for outside Python code */
#define ROW_OVERFLOW 2 /* the row table was full */
#define ROW_PAST 3     /* what rows that were given up had allocated */

struct row {
    uint32_t next; /* of the same hash */
    uint32_t stack, label, thread; /* stack 0: the row isn't used */
    uint32_t caller;     /* native code that asked for the memory; 0: Python itself */
    uint32_t samples;    /* live ones, with those of rows folded into this one */
    uint32_t generation; /* forks that lay before what was allocated */
    uint32_t lifetimes;  /* entry of its stack and caller; 0: not known yet */
    uint32_t serial;     /* tells apart the rows that had the same number one after another */
    uint32_t into;       /* the row that this one was folded into; then it only stands for its live samples */
    uint32_t peak;       /* number of the peak that the figures of it are of */
    uint64_t changed;    /* value of the clock when the row changed last */
    double live_objects, live_bytes, alloc_objects, alloc_bytes;
    double taken_objects, taken_bytes; /* of the allocated: what profiles that were taken say */
    double peak_objects, peak_bytes;   /* live ones at that peak */
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
void hook_row_keep_peak(struct row *row);  /* before its live figures change; its figures of the peak are right then */
void hook_row_since_fork(struct row *row); /* forgets what was allocated before the last fork */
bool hook_rows_crowded(void);

/* Gives up rows that have no live samples and didn't change after the clock was at `shown`; what they had allocated
 * goes to ROW_PAST. `taken`: only those of which profiles said everything. */
void hook_rows_give_up(uint64_t shown, bool taken);

/* The rows of each thread become those of thread to[thread]. Costs nothing for each live sample: a folded row that
 * samples name stays, standing for the other, until the last of them ends. */
void hook_rows_fold(const uint32_t *to);
uint32_t hook_row_settled(uint32_t row); /* the row that counts for it: itself unless it was folded */
uint32_t hook_row_ended(uint32_t row);   /* a live sample of it ended: the same, and folded rows nobody names go */

struct taken {
    uint32_t row, serial;
    int64_t objects, bytes; /* allocated since the row was taken before */
};
struct taken hook_taken(const struct row *copy); /* what is new in a copy whose `next` is the row's number */
void hook_row_take(uint32_t row);                /* counts that as taken */
void hook_row_give_back(const struct taken *taken);

#endif
