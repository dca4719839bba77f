/* Which thread a sample belongs to, and the label (endpoint) it runs under.
 *
 * A thread gets its number with its first sample and keeps it until it has ended and no row speaks of it.
 *
 * Thread rule: safe in hooks that hold the GIL.
 */
#include "threads.h"

#include "memory.h"

#include <pthread.h>
#include <stdatomic.h>

struct threads threads = {.used = 1};
static pthread_key_t end_key;

/* The static TLS block makes this one instruction; the default model calls a function. */
static __thread uint32_t own_number __attribute__((tls_model("initial-exec")));
static __thread uint32_t own_label __attribute__((tls_model("initial-exec")));

static void hook_thread_ended(void *number)
{
    /* Release: the number may go to another thread as soon as this is seen. */
    atomic_store_explicit(&threads.all[(uintptr_t)number].ended, true, memory_order_release);
    own_number = THREAD_OTHER; /* for memory that later destructors ask for */
}

bool hook_threads_open(void)
{
    static bool opened;
    if (!opened)
        opened = pthread_key_create(&end_key, hook_thread_ended) == 0;
    return opened;
}

static uint32_t take_number(void)
{
    uint32_t number = threads.free;
    if (number)
        threads.free = (uint32_t)threads.all[number].identifier;
    else if (threads.used < THREAD_LIMIT)
        number = threads.used++;
    return number; /* none left: THREAD_OTHER */
}

PyObject *hook_thread_give_up(uint32_t number)
{
    PyObject *name = threads.all[number].name;
    threads.all[number] = (struct thread){.identifier = threads.free};
    threads.free = number;
    return name;
}

uint32_t hook_thread_number(void)
{
    if (likely(own_number))
        return own_number;
    uint32_t number = take_number();
    if (!number)
        return THREAD_OTHER;
    threads.all[number].identifier = (uintptr_t)pthread_self();
    threads.all[number].ended = false;
    threads.all[number].used = true;
    pthread_setspecific(end_key, (void *)(uintptr_t)number);
    return own_number = number;
}

uint32_t hook_thread_known(void)
{
    return own_number;
}

uint32_t hook_label(void)
{
    return own_label;
}

uint32_t hook_set_label(uint32_t label)
{
    uint32_t previous = own_label;
    own_label = label;
    return previous;
}

void hook_threads_forked(void)
{
    for (uint32_t i = 1; i < threads.used; i++)
        threads.all[i].ended = threads.all[i].ended || i != own_number;
}
