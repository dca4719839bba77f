/* Walks the interpreter's frames of the current thread.
 *
 * Thread rule: hook_trace() is safe in any allocator hook; see trace.h.
 */
#include "compat.h"

#include "trace.h"

#include <pthread.h>

PyInterpreterState *hook_main_interpreter;

/* Up to 3.11 the current thread state is a global that belongs to whichever thread holds the GIL, so a
 * caller without the GIL would be shown another thread's frames: compare the owner. */
static bool owned(const PyThreadState *state)
{
    return state && state->interp == hook_main_interpreter && state->thread_id == (unsigned long)pthread_self();
}

bool hook_holds_gil(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return hook_thread_state() != NULL; /* the current state is the thread's own */
#else
    const PyThreadState *own = PyGILState_GetThisThreadState(); /* reads a key of pthread's */
    return own && own == hook_thread_state();
#endif
}

bool hook_trace(struct trace *trace, uint32_t max_depth)
{
    PyThreadState *state = hook_thread_state();
    if (!owned(state))
        return false;
    trace->depth = 0;
    trace->truncated = false;
    for (const _PyInterpreterFrame *frame = hook_current_frame(state); frame; frame = frame->previous) {
        PyCodeObject *code = hook_frame_code(frame);
        if (!code || !hook_frame_complete(frame, code))
            continue;
        if (trace->depth == max_depth) {
            trace->truncated = true;
            break;
        }
        trace->frames[trace->depth].code = code;
        trace->frames[trace->depth++].instruction =
            (int32_t)((hook_frame_instruction(frame) - _PyCode_CODE(code)) * (int)sizeof(_Py_CODEUNIT));
    }
    return true;
}
