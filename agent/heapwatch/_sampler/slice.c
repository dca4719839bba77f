/* Long work in slices: other threads get the GIL in between.
 *
 * Who waits for the GIL is woken when it is let go, and may then take some ten microseconds to come; so a slice
 * ends with a rest that is longer than that. Without it the GIL would nearly always be taken back at once.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#include <Python.h>

#include "slice.h"

#include "asserts.h"

#include <time.h>

#define SLICE 1000000 /* nanoseconds */
#define REST 100000
#define STEPS 32 /* between two looks at the clock */

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void gil_slice_begin(struct slice *slice)
{
    *slice = (struct slice){.began = now()};
}

void gil_slice_step(struct slice *slice)
{
    ASSERT_GIL();
    if (++slice->steps % STEPS || now() - slice->began < SLICE)
        return;
    PyThreadState *state = PyEval_SaveThread();
    nanosleep(&(struct timespec){0, REST}, NULL);
    PyEval_RestoreThread(state);
    slice->began = now();
}
