/* The kernel as the sampler sees it when built with -Dsyscall=refusing_syscall: it refuses mappings on command. */
#undef syscall
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#define VISIBLE __attribute__((visibility("default")))

static atomic_long asked, first = -1, count;

/* From now on `number` mappings are refused, after `granted` that are not. */
VISIBLE void refuse_mappings(long granted, long number)
{
    count = number;
    first = granted;
    asked = 0;
}

/* How many mappings were asked for since then. */
VISIBLE long mappings_asked(void)
{
    return asked;
}

static int refused(long number)
{
    if (number != SYS_mmap && number != SYS_mremap)
        return 0;
    long place = asked++;
    return first >= 0 && place >= first && place < first + count;
}

long refusing_syscall(long number, ...)
{
    va_list list;
    long arguments[6];
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        arguments[i] = va_arg(list, long);
    va_end(list);
    if (refused(number)) {
        errno = ENOMEM;
        return -1;
    }
    return syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}
