/* The estimator: which blocks are sampled, and what a sampled block stands for.
 *
 * Sample points lie on the stream of allocated bytes as a Poisson process with a mean distance of R bytes
 * (the interval). A block of S bytes is sampled when at least one point falls into it, so with probability
 *
 *     p = 1 - exp(-S / R)
 *
 * independently of every other block, because the exponential distance to the next point has no memory:
 * after a block was hit, or after R changed, a fresh distance is drawn and nothing is carried over. A block
 * that holds several points still counts once.
 *
 * By Horvitz and Thompson (1952) a sampled block stands for 1/p objects and S/p bytes. The expected value
 * of that is p * (1/p) = 1 object and S bytes for each block of each size at each interval, hence every sum
 * over blocks (live now, allocated so far, by stack, by label) is unbiased, whichever interval each of its
 * samples was drawn at. For a site holding B bytes in blocks of s bytes, B/s independent draws give the
 * relative standard error
 *
 *     sqrt((s / B) / (exp(s / R) - 1))      which for small blocks is sqrt(R / B).
 *
 *     live bytes of the site     at R = 512 KiB     at R = 64 KiB
 *          1 MiB                     71 %               25 %
 *         10 MiB                     22 %                8 %
 *        100 MiB                      7 %                2.5 %
 *
 * Distances are whole bytes: rounding an exponential up gives P(distance > k) = exp(-k / R) for every whole
 * k, so rounding costs no exactness.
 *
 * At R = 1 every byte is a sample point, so every block is sampled and stands for itself: p = 1. That is the
 * exact mode.
 *
 * Thinning. To pass from R to 2R without bias, keep each sample with probability p(2R)/p(R), which with
 * x = S/2R is (1 - exp(-x)) / (1 - exp(-2x)) = 1 / (1 + exp(-x)), and let the kept ones say 2R. Small
 * blocks lose half of their samples, blocks far above R none. From R = 1 on it is p(2) itself.
 *
 * A realloc ends one block and starts another: the old sample, if there was one, ends, and the whole new
 * size is drawn afresh. The live block after it is then sampled with probability p(new size), which is all
 * that unbiasedness needs; allocated bytes count the whole new size as well, as if it were a new block.
 *
 * Thread rule: callable anywhere.
 */
#ifndef HEAPWATCH_ESTIMATE_H
#define HEAPWATCH_ESTIMATE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

struct weight {
    double objects, bytes;
};

static inline struct weight hook_weight(size_t size, uint32_t interval)
{
    double objects = interval == 1 ? 1.0 : -1.0 / expm1(-(double)size / interval);
    return (struct weight){objects, objects * (double)size};
}

/* Probability that a sample drawn at `interval` survives the doubling of the interval. */
static inline double hook_thinning(size_t size, uint32_t interval)
{
    double kept = exp(-(double)size / (2.0 * interval));
    return interval == 1 ? 1.0 - kept : 1.0 / (1.0 + kept);
}

#endif
