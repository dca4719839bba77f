/* Random numbers for the sampler: xoshiro256++ (Blackman and Vigna, 2019), seeded by the operating system.
 *
 * Thread rule: one generator has one user at a time; the sampler's is used under the table lock.
 */
#ifndef HEAPWATCH_RANDOM_H
#define HEAPWATCH_RANDOM_H

#include <stdint.h>

struct generator {
    uint64_t state[4];
};

void hook_random_seed(struct generator *generator, uint64_t seed); /* 0: from the operating system */
double hook_random_unit(struct generator *generator);              /* in (0, 1] */
int64_t hook_random_gap(struct generator *generator, uint32_t mean); /* whole bytes >= 1, exponential; 1 for a mean of 1 */

#endif
