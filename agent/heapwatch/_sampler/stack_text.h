/* What stacks say: functions, files and lines, and letting go of code objects.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_STACK_TEXT_H
#define HEAPWATCH_STACK_TEXT_H

#include <Python.h>

#include <stdint.h>

/* New reference to ((function, file, line), ...), innermost first; NULL with an exception set. */
PyObject *gil_stack_frames(uint32_t stack);

/* The same with the native caller as the innermost frame, above the Python stack if there is one. */
PyObject *gil_native_frames(uint32_t caller, uint32_t stack);

/* Turns the frames of code objects that only we keep alive into plain text; -1 with an exception set. */
int gil_stacks_release_codes(void);

/* Drops references that wait. Runs any Python code, so no table may be in change. */
void gil_stacks_drop(void);

#endif
