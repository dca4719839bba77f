/* The hooks of numpy's data allocator.
 *
 * Thread rule: hook_ functions run inside numpy's allocations, under the GIL.
 */
#ifndef HEAPWATCH_ARRAYS_H
#define HEAPWATCH_ARRAYS_H

#include <Python.h>

#include <stdbool.h>

/* What NEP 49 calls PyDataMem_Handler, version 1. */
struct array_allocator {
    void *context;
    void *(*malloc)(void *context, size_t size);
    void *(*calloc)(void *context, size_t count, size_t each);
    void *(*realloc)(void *context, void *old, size_t size);
    void (*free)(void *context, void *address, size_t size);
};

struct array_handler {
    char name[127];
    uint8_t version;
    struct array_allocator allocator;
};

void hook_arrays_wrap(struct array_allocator *place); /* once; its functions become ours */

#endif
