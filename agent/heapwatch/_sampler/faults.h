/* Failures on command, in builds with -DHEAPWATCH_FAULTS; nothing in others. Tests make each request of ours for
 * memory fail in turn.
 *
 * Thread rule: callable anywhere.
 */
#ifndef HEAPWATCH_FAULTS_H
#define HEAPWATCH_FAULTS_H

#ifdef HEAPWATCH_FAULTS
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum fault { FAULT_MAP, FAULT_POOL, FAULT_LOCK, FAULT_COUNT };

/* Of each kind: how many requests still succeed, and how many fail then. Set by a test through the symbol. */
struct faults {
    _Atomic int64_t succeed[FAULT_COUNT], fail[FAULT_COUNT];
};
extern struct faults heapwatch_faults __attribute__((visibility("default")));

static inline bool fault_due(enum fault fault)
{
    return atomic_fetch_sub(&heapwatch_faults.succeed[fault], 1) <= 0 &&
           atomic_fetch_sub(&heapwatch_faults.fail[fault], 1) > 0;
}
#else
#define fault_due(fault) false
#endif

#endif
