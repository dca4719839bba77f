/* Random numbers for the sampler: xoshiro256++ (Blackman and Vigna, 2019), seeded by the operating system.
 *
 * Thread rule: one generator has one user at a time.
 */
#define _GNU_SOURCE
#include "random.h"

#include <math.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t seed_of_system(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == sizeof seed)
        return seed;
    struct timespec now; /* early in boot, or a kernel without getrandom: unequal processes are enough */
    clock_gettime(CLOCK_REALTIME, &now);
    return ((uint64_t)now.tv_nsec << 32) ^ (uint64_t)now.tv_sec ^ ((uint64_t)getpid() << 16);
}

void hook_random_seed(struct generator *generator, uint64_t seed)
{
    uint64_t state = seed ? seed : seed_of_system();
    for (int i = 0; i < 4; i++)
        generator->state[i] = splitmix(&state);
}

static uint64_t rotate(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

static uint64_t next(struct generator *generator)
{
    uint64_t *s = generator->state;
    uint64_t result = rotate(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

double hook_random_unit(struct generator *generator)
{
    return ((double)(next(generator) >> 11) + 1.0) * 0x1.0p-53;
}

int64_t hook_random_gap(struct generator *generator, uint32_t mean)
{
    if (mean == 1)
        return 1;
    int64_t gap = (int64_t)ceil(-log(hook_random_unit(generator)) * mean);
    return gap < 1 ? 1 : gap;
}
