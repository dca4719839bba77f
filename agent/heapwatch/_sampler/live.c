/* The live table: which sampled blocks are alive.
 *
 * Samples sit densely in a pool, so that few of them touch few pages; chains run from an array of heads that
 * is kept at least four times as long as the number of samples. The heads are the filter in front of the
 * table: an ordinary free reads one word and goes on.
 *
 * Thread rule: under the table lock; no call to an allocator or to Python.
 */
#include "live.h"

#include "estimate.h"
#include "lifetimes.h"

#define HEADS_FIRST 13 /* log2: 32 KiB */
#define HEADS_LAST 21  /* log2: 8 MiB, eight heads for each sample of a full table */

struct live live;
_Atomic uintptr_t live_heads;

static struct sample *sample_at(uint32_t index)
{
    return hook_pool_at(&live.samples, index);
}

static uint32_t *head_of(uintptr_t address)
{
    uintptr_t heads = atomic_load_explicit(&live_heads, memory_order_relaxed);
    return (uint32_t *)(heads & ~(uintptr_t)63) + hook_live_slot(address, heads & 63);
}

static void set_head(uint32_t *head, uint32_t index)
{
    __atomic_store_n(head, index, __ATOMIC_RELAXED);
}

/* Exchange the heads for a longer array. The old one stays mapped for readers that still hold it; all
 * arrays before the last add up to a third of it. */
static bool heads_grow(unsigned order)
{
    size_t bytes = sizeof(uint32_t) << order;
    uint32_t *heads = hook_map(bytes);
    if (!heads)
        return false;
    hook_count_bytes(bytes);
    for (uint32_t i = 1; i < live.samples.used; i++) {
        struct sample *sample = sample_at(i);
        if (!sample->address)
            continue;
        uint32_t *head = heads + hook_live_slot(sample->address, 64 - order);
        sample->next = *head;
        *head = i;
    }
    atomic_store_explicit(&live_heads, (uintptr_t)heads | (64 - order), memory_order_release);
    return true;
}

static void heads_keep_sparse(void)
{
    unsigned order = 64 - (atomic_load_explicit(&live_heads, memory_order_relaxed) & 63);
    if (unlikely(live.count >> (order - 2)) && order < HEADS_LAST)
        heads_grow(order + 2); /* refused: chains get longer, nothing is lost */
}

bool hook_live_open(void)
{
    return live_heads || (hook_pool_open(&live.samples, sizeof(struct sample), LIVE_LIMIT) && heads_grow(HEADS_FIRST));
}

static void keep_peak(uint32_t tick)
{
    if (live.live_bytes > live.high_water)
        live.high_water = live.live_bytes;
    if (live.live_bytes <= live.peak_bytes)
        return;
    live.peak_bytes = live.live_bytes;
    live.peak_tick = tick;
    live.peak++;
}

/* A row's totals return to exactly zero with its last sample, so rounding never piles up. */
static void row_add(const struct sample *sample, int sign)
{
    if (!sample->row)
        return; /* a probe of install.c */
    struct row *row = hook_row_at(sign < 0 ? hook_row_ended(sample->row) : sample->row);
    struct weight weight = hook_weight(sample->size, sample->interval);
    hook_row_keep_peak(row);
    row->changed = ++rows.clock;
    row->samples += (uint32_t)sign;
    row->live_objects = row->samples ? row->live_objects + sign * weight.objects : 0;
    row->live_bytes = row->samples ? row->live_bytes + sign * weight.bytes : 0;
    live.count += (uint32_t)sign;
    if (sample->domain < DOMAIN_COUNT && sample->size < RAW_BACKED)
        live.padding += (uint64_t)(sign * (RAW_BACKED - (int64_t)sample->size));
    live.inherited += sample->generation == (live.generation & 0xffff) ? 0 : (uint32_t)sign;
    live.live_objects = live.count ? live.live_objects + sign * weight.objects : 0;
    live.live_bytes = live.count ? live.live_bytes + sign * weight.bytes : 0;
    hook_scope_retains(sample->scope, sign * weight.bytes);
}

static void link_sample(const struct sample *sample)
{
    uint32_t index = hook_pool_take(&live.samples);
    if (!index) {
        live.full++;
        return;
    }
    struct sample *place = sample_at(index);
    uint32_t *head = head_of(sample->address);
    *place = *sample;
    place->next = *head;
    set_head(head, index);
    row_add(sample, 1);
    heads_keep_sparse();
}

static void unlink_sample(uint32_t *head, uint32_t *link, uint32_t index)
{
    struct sample *sample = sample_at(index);
    row_add(sample, -1);
    if (link == head)
        set_head(head, sample->next);
    else
        *link = sample->next;
    sample->address = 0;
    hook_pool_return(&live.samples, index);
}

/* Where the chain of `address` points to its sample; *link is 0 when there is none. */
static uint32_t *find_link(uint32_t *head, uintptr_t address)
{
    uint32_t *link = head;
    while (*link && sample_at(*link)->address != address)
        link = &sample_at(*link)->next;
    return link;
}

static bool remove_sample(void *address, struct sample *removed)
{
    uint32_t *head = head_of((uintptr_t)address), *link = find_link(head, (uintptr_t)address);
    if (!*link)
        return false;
    *removed = *sample_at(*link);
    removed->row = hook_row_settled(removed->row);
    unlink_sample(head, link, *link);
    return true;
}

static void drop_sample(uint32_t index)
{
    uint32_t *head = head_of(sample_at(index)->address), *link = head;
    while (*link != index)
        link = &sample_at(*link)->next;
    unlink_sample(head, link, index);
}

/* Double the interval and thin what was drawn at less, so that the table has room again. */
static void thin(void)
{
    live.interval *= 2;
    live.doublings++;
    for (uint32_t i = 1; i < live.samples.used; i++) {
        struct sample *sample = sample_at(i);
        if (!sample->address || !sample->row || sample->interval >= live.interval)
            continue;
        if (hook_random_unit(&live.random) > hook_thinning(sample->size, sample->interval)) {
            drop_sample(i);
            live.thinned++;
        } else {
            uint32_t row = hook_row_settled(sample->row);
            row_add(sample, -1);
            sample->row = row;
            sample->interval *= 2;
            row_add(sample, 1);
        }
    }
}

void hook_live_insert(const struct sample *sample)
{
    struct row *row = hook_row_at(sample->row);
    struct weight weight = hook_weight(sample->size, sample->interval);
    hook_row_since_fork(row);
    row->alloc_objects += weight.objects;
    row->alloc_bytes += weight.bytes;
    live.alloc_objects += weight.objects;
    live.alloc_bytes += weight.bytes;
    hook_scope_allocated(sample->scope, weight);
    live.drawn++;
    while (live.count >= LIVE_LIMIT - LIVE_LIMIT / 8 && live.interval < INTERVAL_LIMIT)
        thin();
    struct sample stale;
    if (remove_sample((void *)sample->address, &stale))
        live.displaced++; /* its free went past us */
    link_sample(sample);
    keep_peak(sample->birth);
}

/* Counts an end at the age in `ended->next`, or takes one back. */
static void count_end(const struct sample *ended, int sign)
{
    struct row *row = hook_row_at(ended->row);
    if (!ended->row)
        return; /* a probe of install.c */
    if (!row->lifetimes && !(row->lifetimes = hook_lifetimes_find(row->stack, row->caller)))
        lifetimes.refused++;
    else
        hook_age_add(hook_lifetimes_ended(row->lifetimes), ended->next, hook_weight(ended->size, ended->interval), sign);
}

bool hook_live_end(void *address, struct sample *ended)
{
    if (!remove_sample(address, ended))
        return false;
    ended->next = hook_age_bucket(ended->birth, hook_tick());
    count_end(ended, 1);
    return true;
}

bool hook_live_find(uintptr_t address, struct sample *found)
{
    uint32_t *link = find_link(head_of(address), address);
    if (*link)
        *found = *sample_at(*link);
    return *link != 0;
}

void hook_live_restore(const struct sample *ended)
{
    count_end(ended, -1);
    link_sample(ended);
}

void hook_live_flush(void)
{
    for (uint32_t i = 1; i < live.samples.used; i++)
        if (sample_at(i)->address && sample_at(i)->domain != DOMAIN_MALLOC) {
            drop_sample(i);
            live.displaced++;
        }
}

void hook_live_forked(void)
{
    live.generation++;
    live.inherited = live.count;
    live.alloc_objects = live.alloc_bytes = 0;
    live.peak_bytes = live.high_water = 0;
    keep_peak(hook_tick());
    live.drawn = 0;
    hook_random_seed(&live.random, 0);
}
