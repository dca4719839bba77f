/* What stacks say: functions, files and lines, and letting go of code objects.
 *
 * Making text allocates, so other code may run and add stacks meanwhile. Numbers stay valid as long as no
 * stack is given up, which export.c sees to.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include "stack_text.h"

#include "asserts.h"
#include "callers.h"
#include "modules.h"
#include "native.h"
#include "stacks.h"

/* Borrowed from the frame. While text is being made the code object has a second owner, so an export that runs
 * in between doesn't let it go. */
static PyObject *gil_frame_text(struct frame *frame)
{
    if (frame->text)
        return frame->text;
    PyCodeObject *code = hook_code_at(frame->code)->object;
    Py_INCREF(code);
    PyObject *text = Py_BuildValue("OOi", code->co_qualname, code->co_filename,
                                   PyCode_Addr2Line(code, frame->instruction));
    Py_DECREF(code);
    if (!text)
        return NULL;
    if (frame->text)
        Py_DECREF(text);
    else
        frame->text = text;
    return frame->text;
}

static PyObject *gil_named_frame(const char *name)
{
    return Py_BuildValue("((ssi))", name, "", 0);
}

PyObject *gil_stack_frames(uint32_t index)
{
    ASSERT_GIL();
    if (index == STACK_NONE)
        return gil_named_frame("[outside Python code]");
    if (index == STACK_OVERFLOW)
        return gil_named_frame("[stack table full]");
    if (index == STACK_RAW)
        return gil_named_frame("[raw]");
    struct stack *stack = hook_stack_at(index);
    if (stack->text)
        return Py_NewRef(stack->text);
    PyObject *frames = PyTuple_New(stack->depth);
    for (uint32_t i = 0; frames && i < stack->depth; i++) {
        PyObject *text = gil_frame_text(hook_frame_at(stacks.links[stack->links + i]));
        if (!text)
            Py_CLEAR(frames);
        else
            PyTuple_SET_ITEM(frames, i, Py_NewRef(text));
    }
    if (frames && !stack->text)
        stack->text = Py_NewRef(frames);
    return frames;
}

PyObject *gil_native_frames(uint32_t caller, uint32_t stack)
{
    ASSERT_GIL();
    struct caller *entry = hook_caller_at(caller);
    if (!entry->text) {
        PyObject *text = gil_native_text(entry->address);
        if (!text)
            return NULL;
        Py_XSETREF(entry->text, text);
    }
    PyObject *innermost = PyTuple_Pack(1, entry->text);
    if (!innermost || stack == STACK_NONE)
        return innermost;
    PyObject *python = gil_stack_frames(stack), *frames = python ? PySequence_Concat(innermost, python) : NULL;
    Py_DECREF(innermost);
    Py_XDECREF(python);
    return frames;
}

static bool gil_any_dying(void)
{
    for (uint32_t i = 1; i < stacks.codes.used; i++)
        if (hook_code_only_ours(i))
            return true;
    return false;
}

int gil_stacks_release_codes(void)
{
    ASSERT_GIL();
    if (!gil_any_dying())
        return 0;
    for (uint32_t i = 1; i < stacks.frames.used; i++) {
        struct frame *frame = hook_frame_at(i);
        if (frame->uses && hook_code_only_ours(frame->code) && !gil_frame_text(frame))
            return -1;
    }
    ++*hook_guard(); /* a signal handler's C allocations must not find the stacks in change */
    hook_stacks_release_resolved();
    --*hook_guard();
    return 0;
}

void gil_stacks_drop(void)
{
    ASSERT_GIL();
    while (stacks.waiting.used > 1)
        Py_DECREF(*(PyObject **)hook_pool_at(&stacks.waiting, --stacks.waiting.used));
}
