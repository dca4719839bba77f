/* A copy of rows to be shown, and the tidying that follows when they were.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_SNAPSHOT_H
#define HEAPWATCH_SNAPSHOT_H

#include <Python.h>

#include "rows.h"

struct wanted {
    uint64_t since; /* rows that changed after the clock was at it */
    uint32_t own;   /* label whose rows are left out; 0: none */
    bool live;      /* only rows with live samples */
    bool peak;      /* live figures are those of the peak; nothing is allocated */
    bool take;      /* only those, and rows with allocations that weren't taken; they are now */
};

struct snapshot {
    struct row *rows; /* own mapping; in a copy `next` is the row's own number */
    size_t bytes;
    uint32_t count;
    uint64_t clock;
    double own_bytes; /* live ones of the rows left out */
};

/* False, with an exception: no memory. Else stacks, code and threads that rows speak of stay until it is dropped. */
bool gil_snapshot_take(struct snapshot *snapshot, const struct wanted *wanted);
void gil_snapshot_drop(struct snapshot *snapshot);
void gil_snapshot_give_back(const struct snapshot *snapshot);

uint32_t gil_rows_used(void); /* numbers of rows so far; threads without the GIL may add to them at once */

#endif
