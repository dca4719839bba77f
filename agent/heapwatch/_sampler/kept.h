/* What the interpreter itself keeps, where no object is seen to hold it.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_KEPT_H
#define HEAPWATCH_KEPT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* New reference to [(how Python code gave it to the interpreter, object), ...]. */
PyObject *gil_kept(void);

#endif
