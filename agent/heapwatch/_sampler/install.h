/* Puts the hooks in place, once, and asks whether they are still reached.
 *
 * Thread rule: gil_ functions need the GIL and never run inside a hook.
 */
#ifndef HEAPWATCH_INSTALL_H
#define HEAPWATCH_INSTALL_H

#include <stdbool.h>
#include <stdint.h>

struct install {
    bool done;
    bool watches_frees;     /* frees of OBJ and MEM are hooked, because they don't come back through RAW */
    uint32_t rewraps;
    double incomplete_since; /* Unix time at which the hooks were first found out of the way; 0: never */
};
extern struct install install;

bool gil_install(void);         /* false: no memory for the tables, or frees can't be seen */
void gil_seed(uint64_t seed);     /* 0: from the operating system */
void gil_enable(uint32_t interval, uint32_t max_depth);
void gil_disable(void);         /* countdown to infinity; the hooks stay */
void gil_set_interval(uint32_t interval);
bool gil_install_check(void);   /* wraps anew when the hooks were displaced; false: still not reached */
double gil_now(void);           /* Unix time */

#endif
