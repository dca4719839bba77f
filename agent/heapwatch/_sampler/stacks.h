/* Stacks, their frames and the code objects in them, each kept once.
 *
 * Thread rule: everything here needs the GIL of the main interpreter; hook_ functions call no Python API,
 * gil_ functions may run any Python code and are never called from a hook.
 */
#ifndef HEAPWATCH_STACKS_H
#define HEAPWATCH_STACKS_H

#include <Python.h>

#include "memory.h"

#define STACK_LIMIT (1u << 15)
#define FRAME_LIMIT (1u << 17)
#define CODE_LIMIT (1u << 16)
#define LINK_LIMIT (1u << 21) /* frame numbers of all stacks together, 8 MiB */
#define DEPTH_LIMIT 1024

#define STACK_NONE 1     /* memory asked for outside Python code */
#define STACK_OVERFLOW 2 /* the stack table was full */

/* A stack's name for the outside: its number with its serial, so it never comes to mean another stack. */
#define STACK_NUMBER_BITS 16

/* What a walk leaves behind: code objects borrowed from running frames, innermost first. */
struct trace {
    uint32_t depth;
    bool truncated;
    struct {
        PyCodeObject *code;
        int32_t instruction; /* offset in bytes */
    } frames[DEPTH_LIMIT];
};

struct stack {
    uint32_t next;  /* of the same hash */
    uint32_t links; /* first of `depth` frame numbers */
    uint16_t depth;
    bool truncated, used;
    bool findable;  /* false: one of its code objects is gone, so the same addresses would mean another stack */
    uint32_t serial; /* tells apart the stacks that had the same number one after another */
    uint64_t hash;
};

struct stacks {
    struct pool stacks, frames, codes;
    uint32_t links_used;
    uint64_t refused; /* traces that found the table full */
};
extern struct stacks stacks;

bool hook_stacks_open(void);
uint32_t hook_stack_find(const struct trace *trace); /* STACK_NONE for an empty one, STACK_OVERFLOW when full */
size_t hook_stacks_bytes(void);
bool hook_stacks_crowded(void);                      /* time to give up stacks that nothing uses */
void hook_stack_give_up(uint32_t stack);             /* its references wait for gil_stacks_drop() */

static inline struct stack *hook_stack_at(uint32_t stack)
{
    return hook_pool_at(&stacks.stacks, stack);
}

/* New reference to ((function, file, line), ...), innermost first; NULL with an exception set. */
PyObject *gil_stack_frames(uint32_t stack);
uint64_t gil_stack_id(uint32_t stack);    /* unique over reuse of numbers */
uint32_t gil_stack_of_id(uint64_t id);    /* 0 when that stack is gone */

/* Lets go of code objects that only we keep alive; their frames become plain text. -1 with an exception set. */
int gil_stacks_release_codes(void);
void gil_stacks_drop(void); /* drops references that wait; runs any Python code */

#endif
