/* The Python type of scopes, and the functions about the context variable that holds one.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_SCOPE_TYPE_H
#define HEAPWATCH_SCOPE_TYPE_H

#include <Python.h>

int gil_add_scope_type(PyObject *module); /* -1 with an exception set */

#endif
