/* Walks the interpreter's frames of the current thread. All that differs by Python version is in trace.c and
 * compat.h.
 *
 * Thread rule: hook_trace() is safe in any allocator hook: plain reads of structures that the current thread
 * owns. It calls no Python function that could allocate, collect or switch threads.
 */
#ifndef HEAPWATCH_TRACE_H
#define HEAPWATCH_TRACE_H

#include "stacks.h"

/* False when this thread doesn't run Python code of the main interpreter under the GIL. */
bool hook_trace(struct trace *trace, uint32_t max_depth);
/* Safe without the GIL, where hook_trace() isn't before 3.12: it would read the state of whichever thread has it. */
bool hook_holds_gil(void);
extern PyInterpreterState *hook_main_interpreter; /* set by install.c; other interpreters are not sampled */

#endif
