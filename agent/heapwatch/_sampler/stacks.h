/* Stacks, their frames and the code objects in them, each kept once.
 *
 * Thread rule: needs the GIL of the main interpreter; calls nothing, so it is safe in hooks that have it.
 */
#ifndef HEAPWATCH_STACKS_H
#define HEAPWATCH_STACKS_H

#include <Python.h>

#include "memory.h"

#ifndef STACK_LIMIT
#define STACK_LIMIT (1u << 15)
#endif
#define FRAME_LIMIT (1u << 17)
#define CODE_LIMIT (1u << 16)
#define LINK_LIMIT (1u << 21) /* frame numbers of all stacks together, 8 MiB */
#define DEPTH_LIMIT 1024

#define STACK_NONE 1     /* memory asked for outside Python code */
#define STACK_OVERFLOW 2 /* the stack table was full */
#define STACK_RAW 3      /* memory of the RAW domain asked for without the GIL */
#define STACK_PAST 4     /* stacks that were given up */
#define STACK_FIRST 5    /* of those with frames */

/* A stack's name for the outside: its number with its serial, so it never comes to mean another stack. */
#define STACK_NUMBER_BITS 16
#define CALLER_SHIFT 48 /* above number and serial: the native caller on top of the stack */

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

struct frame {
    uint32_t next, code;
    int32_t instruction;
    uint32_t uses; /* by stacks */
    int32_t line;  /* LINE_UNKNOWN until somebody asked; 0: the instruction has none */
};
#define LINE_UNKNOWN (-1)

struct code {
    uint32_t next;
    uint32_t uses;        /* by frames */
    PyCodeObject *object; /* own reference; NULL when released, and then all its frames have lines */
    PyObject *function, *file; /* own references to strings, once released */
    bool releasing;
};

struct stacks {
    struct pool stacks, frames, codes;
    uint32_t *links;     /* frame numbers of all stacks */
    uint32_t links_used, links_idle; /* handed out ever; of those returned */
    struct pool waiting; /* references to drop once no table is being changed */
    uint64_t refused;    /* traces that found the table full */
};
extern struct stacks stacks;

static inline struct stack *hook_stack_at(uint32_t stack)
{
    return hook_pool_at(&stacks.stacks, stack);
}

static inline struct frame *hook_frame_at(uint32_t frame)
{
    return hook_pool_at(&stacks.frames, frame);
}

static inline struct code *hook_code_at(uint32_t code)
{
    return hook_pool_at(&stacks.codes, code);
}

/* Nobody but us holds the code object, so it will never run again. */
static inline bool hook_code_only_ours(uint32_t code)
{
    return hook_code_at(code)->object && Py_REFCNT(hook_code_at(code)->object) == 1;
}

bool hook_stacks_open(void);
uint32_t hook_stack_find(const struct trace *trace); /* STACK_NONE for an empty one, STACK_OVERFLOW when full */
uint64_t hook_stack_id(uint32_t stack);
uint32_t hook_stack_of_id(uint64_t id);     /* 0 when that stack is gone */
size_t hook_stacks_bytes(void);
size_t hook_stacks_busy(void);              /* of those in use */
bool hook_stacks_crowded(void);             /* time to give up stacks that nothing uses */
void hook_stack_give_up(uint32_t stack);    /* its references wait to be dropped */
void hook_stacks_release_resolved(void);    /* code objects that are only ours and whose frames all have lines */

#endif
