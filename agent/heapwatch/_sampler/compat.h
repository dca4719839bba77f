/* Where CPython 3.11, 3.12 and 3.13 differ in what a hook reads. A version that isn't listed doesn't build.
 *
 * Thread rule: plain reads; callable in hooks.
 */
#ifndef HEAPWATCH_COMPAT_H
#define HEAPWATCH_COMPAT_H

#define Py_BUILD_CORE 1
#include <Python.h>
#include <internal/pycore_context.h>
#include <internal/pycore_frame.h>
#undef Py_BUILD_CORE

#if PY_VERSION_HEX < 0x030B0000 || PY_VERSION_HEX >= 0x030E0000
#error "heapwatch's sampler knows the frames of CPython 3.11 to 3.13 only"
#endif

static inline PyThreadState *hook_thread_state(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyThreadState_GetUnchecked(); /* one read of a thread-local */
#else
    return _PyThreadState_UncheckedGet(); /* one read of a thread-local (3.12) or global (3.11) */
#endif
}

static inline _PyInterpreterFrame *hook_current_frame(PyThreadState *state)
{
#if PY_VERSION_HEX >= 0x030D0000
    return state->current_frame;
#else
    return state->cframe ? state->cframe->current_frame : NULL;
#endif
}

/* NULL for an entry that isn't Python code (a shim between C and Python). */
static inline PyCodeObject *hook_frame_code(const _PyInterpreterFrame *frame)
{
#if PY_VERSION_HEX >= 0x030D0000
    return frame->f_executable && Py_TYPE(frame->f_executable) == &PyCode_Type
               ? (PyCodeObject *)frame->f_executable
               : NULL;
#elif PY_VERSION_HEX >= 0x030C0000
    return frame->owner == FRAME_OWNED_BY_CSTACK ? NULL : frame->f_code;
#else
    return frame->f_code;
#endif
}

static inline const _Py_CODEUNIT *hook_frame_instruction(const _PyInterpreterFrame *frame)
{
#if PY_VERSION_HEX >= 0x030D0000
    return frame->instr_ptr;
#else
    return frame->prev_instr;
#endif
}

/* A frame that is being built up has no valid instruction yet; CPython hides it as well. */
static inline bool hook_frame_complete(const _PyInterpreterFrame *frame, const PyCodeObject *code)
{
    return frame->owner == FRAME_OWNED_BY_GENERATOR ||
           hook_frame_instruction(frame) >= _PyCode_CODE(code) + code->_co_firsttraceable;
}

#endif
