/* Callers: the places in native code that asked the C allocator for sampled memory.
 *
 * Thread rule: under the table lock; safe in hooks. `text` is read and written with the GIL.
 */
#ifndef HEAPWATCH_CALLERS_H
#define HEAPWATCH_CALLERS_H

#include <Python.h>

#include "memory.h"

#define CALLER_LIMIT (1u << 14)

struct caller {
    uint32_t next; /* of the same hash */
    uintptr_t address; /* where the call returns to */
    PyObject *text;    /* (function, file, 0) once somebody asked */
};

struct callers {
    struct pool pool;
    uint64_t refused; /* samples whose caller found the table full */
};
extern struct callers callers;

static inline struct caller *hook_caller_at(uint32_t caller)
{
    return hook_pool_at(&callers.pool, caller);
}

bool hook_callers_open(void);
uint32_t hook_caller_find(uintptr_t address); /* 0 when the table is full. Callers are never given up */

#endif
