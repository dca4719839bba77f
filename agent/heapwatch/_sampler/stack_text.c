/* What stacks say: functions, files and lines, and letting go of code objects.
 *
 * Texts are made when they are asked for and not kept: a stack is four bytes per frame, its text would be many
 * times that. Making text allocates, so other code may run and add stacks meanwhile. Numbers stay valid as long as no
 * stack is given up, which snapshot.c sees to.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include "stack_text.h"

#include "asserts.h"
#include "callers.h"
#include "modules.h"
#include "native.h"
#include "stacks.h"

const char *gil_stack_name(uint32_t stack)
{
    static const char *const names[STACK_FIRST] = {
        [STACK_NONE] = "[outside Python code]",
        [STACK_OVERFLOW] = "[stack table full]",
        [STACK_RAW] = "[raw]",
        [STACK_PAST] = "[earlier stacks]",
    };
    return stack < STACK_FIRST ? names[stack] : NULL;
}

int32_t gil_frame_line(uint32_t index)
{
    struct frame *frame = hook_frame_at(index);
    if (frame->line == LINE_UNKNOWN) {
        int line = PyCode_Addr2Line(hook_code_at(frame->code)->object, frame->instruction);
        frame->line = line > 0 ? line : 0;
    }
    return frame->line;
}

PyObject *gil_code_function(uint32_t code)
{
    const struct code *entry = hook_code_at(code);
    return entry->object ? entry->object->co_qualname : entry->function;
}

PyObject *gil_code_file(uint32_t code)
{
    const struct code *entry = hook_code_at(code);
    return entry->object ? entry->object->co_filename : entry->file;
}

PyObject *gil_caller_text(uint32_t caller)
{
    struct caller *entry = hook_caller_at(caller);
    if (entry->text)
        return entry->text;
    PyObject *text = gil_native_text(entry->address);
    if (text && entry->text) /* made meanwhile by another thread */
        Py_DECREF(text);
    else
        entry->text = text;
    return text ? entry->text : NULL;
}

static PyObject *gil_frame_text(uint32_t index)
{
    uint32_t code = hook_frame_at(index)->code;
    return Py_BuildValue("OOi", gil_code_function(code), gil_code_file(code), (int)gil_frame_line(index));
}

PyObject *gil_frames(uint32_t caller, uint32_t stack)
{
    ASSERT_GIL();
    bool bare = gil_stack_name(stack), alone = caller && stack == STACK_NONE;
    uint32_t top = caller ? 1 : 0, depth = alone ? 0 : bare ? 1 : hook_stack_at(stack)->depth;
    PyObject *frames = PyTuple_New(depth + top);
    for (uint32_t i = 0; frames && i < depth + top; i++) {
        PyObject *text = i < top ? Py_XNewRef(gil_caller_text(caller))
                         : bare  ? Py_BuildValue("ssi", gil_stack_name(stack), "", 0)
                                 : gil_frame_text(stacks.links[hook_stack_at(stack)->links + i - top]);
        if (text)
            PyTuple_SET_ITEM(frames, i, text);
        else
            Py_CLEAR(frames);
    }
    return frames;
}

static bool gil_any_dying(void)
{
    for (uint32_t i = 1; i < stacks.codes.used; i++)
        if (hook_code_only_ours(i))
            return true;
    return false;
}

void gil_stacks_release_codes(void)
{
    ASSERT_GIL();
    if (!gil_any_dying())
        return;
    for (uint32_t i = 1; i < stacks.frames.used; i++)
        if (hook_frame_at(i)->uses && hook_code_only_ours(hook_frame_at(i)->code))
            gil_frame_line(i);
    ++*hook_guard(); /* a signal handler's C allocations must not find the stacks in change */
    hook_stacks_release_resolved();
    --*hook_guard();
}

void gil_stacks_drop(void)
{
    ASSERT_GIL();
    while (stacks.waiting.used > 1)
        Py_DECREF(*(PyObject **)hook_pool_at(&stacks.waiting, --stacks.waiting.used));
}
