/* What stacks say: functions, files and lines, and letting go of code objects.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_STACK_TEXT_H
#define HEAPWATCH_STACK_TEXT_H

#include <Python.h>

#include <stdint.h>

const char *gil_stack_name(uint32_t stack);   /* of a stack without frames; NULL for others */
int32_t gil_frame_line(uint32_t frame);       /* 0: none. Calls nothing of Python's that allocates */
PyObject *gil_code_function(uint32_t code);   /* borrowed string: the qualified name */
PyObject *gil_code_file(uint32_t code);       /* borrowed string */
PyObject *gil_caller_text(uint32_t caller);   /* borrowed (function, file, 0); NULL with an exception set */

/* New reference to ((function, file, line), ...), innermost first, with the native caller on top if it isn't 0;
 * NULL with an exception set. */
PyObject *gil_frames(uint32_t caller, uint32_t stack);

/* Gives up code objects that only we keep alive; names and lines stay. */
void gil_stacks_release_codes(void);

/* Drops references that wait. Runs any Python code, so no table may be in change. */
void gil_stacks_drop(void);

#endif
