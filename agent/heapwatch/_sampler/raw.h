/* The hooks of the RAW domain.
 *
 * Thread rule: hook_ functions may run in any thread, with or without the GIL, before Python and after it.
 */
#ifndef HEAPWATCH_RAW_H
#define HEAPWATCH_RAW_H

#include <Python.h>

#include <stdbool.h>

void hook_raw_functions(bool count, PyMemAllocatorEx *functions); /* not `count`: only ends of samples are seen */

#endif
