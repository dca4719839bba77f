/* Stacks, their frames and the code objects in them, each kept once.
 *
 * A stack is an array of frame numbers, a frame is a code object and an instruction. Each code object is
 * owned by one reference, taken by plain increment while a running frame keeps it alive: so its address
 * can't come to mean another function, and it can't die between sampling and export. Stacks are found by a
 * 64-bit hash of (code, instruction) pairs; that two of 2^15 stacks collide has a chance below 2^-34.
 *
 * Thread rule: GIL of the main interpreter. hook_ functions call no Python API.
 */
#include "stacks.h"

#include <string.h>

#define STACK_ORDER 13
#define FRAME_ORDER 14
#define CODE_ORDER 12

struct stacks stacks;
static uint32_t *stack_heads, *frame_heads, *code_heads;
static uint32_t free_links[DEPTH_LIMIT + 1]; /* by depth; the first number of a freed run is the next run */
static uint32_t serial;

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ (hash >> 29);
}

static uint32_t *open_heads(unsigned order)
{
    hook_count_bytes(sizeof(uint32_t) << order);
    return hook_map(sizeof(uint32_t) << order);
}

bool hook_stacks_open(void)
{
    if (stacks.links)
        return true;
    stack_heads = open_heads(STACK_ORDER);
    frame_heads = open_heads(FRAME_ORDER);
    code_heads = open_heads(CODE_ORDER);
    if (!stack_heads || !frame_heads || !code_heads ||
        !hook_pool_open(&stacks.stacks, sizeof(struct stack), STACK_LIMIT) ||
        !hook_pool_open(&stacks.frames, sizeof(struct frame), FRAME_LIMIT) ||
        !hook_pool_open(&stacks.codes, sizeof(struct code), CODE_LIMIT) ||
        !hook_pool_open(&stacks.waiting, sizeof(PyObject *), 3 * CODE_LIMIT))
        return false;
    for (uint32_t i = STACK_NONE; i < STACK_FIRST; i++)
        hook_stack_at(hook_pool_take(&stacks.stacks))->used = true;
    stacks.links = hook_map(sizeof(uint32_t) * LINK_LIMIT);
    return stacks.links != NULL;
}

/* --- finding and adding: in hooks ----------------------------------------------------------------- */

static uint32_t *code_head(const PyCodeObject *object)
{
    return code_heads + (mix(0, (uintptr_t)object >> 4) >> (64 - CODE_ORDER));
}

static uint32_t find_code(PyCodeObject *object)
{
    uint32_t *head = code_head(object), index = *head;
    while (index && hook_code_at(index)->object != object)
        index = hook_code_at(index)->next;
    if (index || !(index = hook_pool_take(&stacks.codes)))
        return index;
    Py_INCREF(object); /* a running frame owns it, so this revives nothing; it is a plain increment */
    hook_code_at(index)->object = object;
    hook_code_at(index)->next = *head;
    return *head = index;
}

static uint32_t *frame_head(uint32_t code, int32_t instruction)
{
    return frame_heads + (mix(code, (uint32_t)instruction) >> (64 - FRAME_ORDER));
}

/* A reference that finds no room is kept for good. */
static void drop_later(void *reference)
{
    if (reference && stacks.waiting.used <= stacks.waiting.limit)
        *(void **)hook_pool_at(&stacks.waiting, stacks.waiting.used++) = reference;
}

static void unlink_from(uint32_t *head, uint32_t index, struct pool *pool)
{
    uint32_t *link = head; /* `next` is the first member of what the pool holds */
    while (*link && *link != index)
        link = hook_pool_at(pool, *link);
    if (*link)
        *link = *(uint32_t *)hook_pool_at(pool, index);
}

static void forget_unused_code(uint32_t index)
{
    struct code *code = hook_code_at(index);
    if (code->uses)
        return;
    if (code->object)
        unlink_from(code_head(code->object), index, &stacks.codes);
    drop_later(code->object);
    drop_later(code->function);
    drop_later(code->file);
    code->object = NULL; /* returned elements are still looked at when all are */
    code->function = code->file = NULL;
    hook_pool_return(&stacks.codes, index);
}

static void stop_using_frame(uint32_t index)
{
    struct frame *frame = hook_frame_at(index);
    if (--frame->uses)
        return;
    uint32_t code = frame->code;
    unlink_from(frame_head(code, frame->instruction), index, &stacks.frames);
    frame->code = 0;
    hook_pool_return(&stacks.frames, index);
    hook_code_at(code)->uses--;
    forget_unused_code(code);
}

/* The number of the frame, used once more; 0 when a table is full. */
static uint32_t use_frame(PyCodeObject *object, int32_t instruction)
{
    uint32_t code = find_code(object);
    if (!code)
        return 0;
    uint32_t *head = frame_head(code, instruction), index = *head;
    while (index && (hook_frame_at(index)->code != code || hook_frame_at(index)->instruction != instruction))
        index = hook_frame_at(index)->next;
    if (!index) {
        if (!(index = hook_pool_take(&stacks.frames))) {
            forget_unused_code(code);
            return 0;
        }
        *hook_frame_at(index) = (struct frame){.next = *head, .code = code, .instruction = instruction,
                                               .line = LINE_UNKNOWN};
        hook_code_at(code)->uses++;
        *head = index;
    }
    hook_frame_at(index)->uses++;
    return index;
}

static uint32_t take_links(uint32_t depth)
{
    uint32_t first = free_links[depth];
    if (first) {
        free_links[depth] = stacks.links[first];
        stacks.links_idle -= depth;
        return first;
    }
    if (stacks.links_used + depth >= LINK_LIMIT)
        return 0;
    first = stacks.links_used + 1;
    stacks.links_used += depth;
    return first;
}

static void return_links(uint32_t first, uint32_t depth)
{
    stacks.links[first] = free_links[depth];
    free_links[depth] = first;
    stacks.links_idle += depth;
}

/* First of the stack's frame numbers; 0 when a table is full, and then nothing is kept. */
static uint32_t link_frames(const struct trace *trace)
{
    uint32_t first = take_links(trace->depth);
    for (uint32_t i = 0; first && i < trace->depth; i++) {
        stacks.links[first + i] = use_frame(trace->frames[i].code, trace->frames[i].instruction);
        if (stacks.links[first + i])
            continue;
        while (i--)
            stop_using_frame(stacks.links[first + i]);
        return_links(first, trace->depth);
        return 0;
    }
    return first;
}

static uint64_t trace_hash(const struct trace *trace)
{
    uint64_t hash = mix(trace->depth, trace->truncated);
    for (uint32_t i = 0; i < trace->depth; i++)
        hash = mix(mix(hash, (uintptr_t)trace->frames[i].code), (uint32_t)trace->frames[i].instruction);
    return hash;
}

static uint32_t add_stack(const struct trace *trace, uint64_t hash, uint32_t *head)
{
    uint32_t index = hook_pool_take(&stacks.stacks), first = index ? link_frames(trace) : 0;
    if (index && !first)
        hook_pool_return(&stacks.stacks, index);
    if (!first) {
        stacks.refused++;
        return STACK_OVERFLOW;
    }
    *hook_stack_at(index) = (struct stack){.next = *head, .links = first, .depth = (uint16_t)trace->depth,
                                           .truncated = trace->truncated, .used = true, .findable = true,
                                           .serial = ++serial, .hash = hash};
    return *head = index;
}

static uint32_t *stack_head(uint64_t hash)
{
    return stack_heads + (hash >> (64 - STACK_ORDER));
}

uint32_t hook_stack_find(const struct trace *trace)
{
    if (!trace->depth)
        return STACK_NONE;
    uint64_t hash = trace_hash(trace);
    uint32_t *head = stack_head(hash);
    for (uint32_t i = *head; i; i = hook_stack_at(i)->next)
        if (hook_stack_at(i)->hash == hash)
            return i;
    return add_stack(trace, hash, head);
}

/* --- giving up: at safe points -------------------------------------------------------------------- */

static bool crowded(const struct pool *pool)
{
    return !pool->free && pool->used > pool->limit - pool->limit / 4;
}

bool hook_stacks_crowded(void)
{
    return crowded(&stacks.stacks) || crowded(&stacks.frames) || crowded(&stacks.codes) ||
           stacks.links_used > LINK_LIMIT - LINK_LIMIT / 4;
}

static void make_unfindable(uint32_t index)
{
    struct stack *stack = hook_stack_at(index);
    if (stack->findable)
        unlink_from(stack_head(stack->hash), index, &stacks.stacks);
    stack->findable = false;
}

void hook_stack_give_up(uint32_t index)
{
    struct stack *stack = hook_stack_at(index);
    make_unfindable(index);
    for (uint32_t i = 0; i < stack->depth; i++)
        stop_using_frame(stacks.links[stack->links + i]);
    return_links(stack->links, stack->depth);
    stack->used = false;
    hook_pool_return(&stacks.stacks, index);
}

/* Calls nothing, so what it finds stays true until it returns. */
void hook_stacks_release_resolved(void)
{
    for (uint32_t i = 1; i < stacks.codes.used; i++)
        hook_code_at(i)->releasing = hook_code_only_ours(i);
    for (uint32_t i = 1; i < stacks.frames.used; i++)
        if (hook_frame_at(i)->uses && hook_frame_at(i)->line == LINE_UNKNOWN)
            hook_code_at(hook_frame_at(i)->code)->releasing = false;
    for (uint32_t i = 1; i < stacks.stacks.used; i++) {
        struct stack *stack = hook_stack_at(i);
        for (uint32_t j = 0; stack->used && stack->findable && j < stack->depth; j++)
            if (hook_code_at(hook_frame_at(stacks.links[stack->links + j])->code)->releasing)
                make_unfindable(i);
    }
    for (uint32_t i = 1; i < stacks.codes.used; i++) {
        struct code *code = hook_code_at(i);
        if (!code->releasing)
            continue;
        unlink_from(code_head(code->object), i, &stacks.codes);
        code->function = Py_NewRef(code->object->co_qualname);
        code->file = Py_NewRef(code->object->co_filename);
        drop_later(code->object);
        code->object = NULL;
        code->releasing = false;
    }
}

/* --- names for the outside ------------------------------------------------------------------------- */

uint64_t hook_stack_id(uint32_t index)
{
    return (uint64_t)hook_stack_at(index)->serial << STACK_NUMBER_BITS | index;
}

uint32_t hook_stack_of_id(uint64_t id)
{
    uint32_t index = (uint32_t)(id & ((1u << STACK_NUMBER_BITS) - 1));
    if (!index || index >= stacks.stacks.used || !hook_stack_at(index)->used || hook_stack_id(index) != id)
        return 0;
    return index;
}

size_t hook_stacks_bytes(void)
{
    return hook_pool_bytes(&stacks.stacks) + hook_pool_bytes(&stacks.frames) + hook_pool_bytes(&stacks.codes) +
           hook_pool_bytes(&stacks.waiting) + ((stacks.links_used * sizeof(uint32_t) + 4095) & ~(size_t)4095);
}

size_t hook_stacks_busy(void)
{
    return hook_pool_busy(&stacks.stacks) + hook_pool_busy(&stacks.frames) + hook_pool_busy(&stacks.codes) +
           sizeof(uint32_t) * (stacks.links_used - stacks.links_idle);
}
