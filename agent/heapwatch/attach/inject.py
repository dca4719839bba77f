"""Has a process start one more thread, which runs a piece of Python code when it gets the interpreter.

To start a thread takes memory from malloc, so the thread that is borrowed for it must not be in the middle
of malloc. One that waits in a system call for somebody else isn't: it starts the thread at once. When none
waits, the main thread is interrupted wherever it is and only asks the interpreter, by Py_AddPendingCall, to
start the thread at its next safe point, between two instructions of Python code.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from heapwatch.attach import machine
from heapwatch.attach.images import Memory
from heapwatch.attach.ptrace import HeldThread, TraceError, hold

FUNCTIONS = (*machine.SLOTS, "mmap", "__errno_location", "Py_IsInitialized", "Py_AddPendingCall")
LOOKS = 20
LOOK_INTERVAL = 0.005

_FUTEX, _FUTEX_COMMAND, _FUTEX_WAIT_BITSET = 202, 0x7F, 9
# System calls that wait for others, and that malloc doesn't make.
_WAITING = frozenset(
    {
        *(0, 19, 1, 20),  # read, readv, write, writev
        *(43, 288, 42),  # accept, accept4, connect
        *(45, 47, 299, 44, 46),  # recvfrom, recvmsg, recvmmsg, sendto, sendmsg
        *(7, 271, 23, 270),  # poll, ppoll, select, pselect6
        *(232, 281, 441, 208),  # epoll_wait, epoll_pwait, epoll_pwait2, io_getevents
        *(35, 230, 34),  # nanosleep, clock_nanosleep, pause
        *(61, 247),  # wait4, waitid
        *(128, 130),  # rt_sigtimedwait, rt_sigsuspend
        *(65, 220, 70, 73),  # semop, semtimedop, msgrcv, flock
    }
)
_PROT_READ_EXEC, _MAP_PRIVATE_ANONYMOUS = 5, 0x22
_ADDRESS_LIMIT = 1 << 63
_NO_FILE = (1 << 64) - 1
_INT = 0xFFFFFFFF


class InjectError(Exception):
    """The thread could not be started; nothing is left of the attempt."""


@dataclass(frozen=True)
class _Order:
    """What is to be done: put `page` into process `pid` and run it there."""

    pid: int
    memory: Memory
    functions: Mapping[str, int]
    page: bytes


def inject(pid: int, functions: Mapping[str, int], code: str) -> float:
    """Have process `pid` run `code`; returns the seconds for which a thread of it was held.

    `functions` are the addresses there of FUNCTIONS.

    InjectError when it can't start a thread, TraceError when the kernel refuses.
    """
    with closing(Memory(pid, writable=True)) as memory:
        order = _Order(pid, memory, functions, machine.page(functions, code))
        for _ in range(LOOKS):
            for tid in _waiting_threads(pid):
                held = _start_at_once(order, tid)
                if held is not None:
                    return held
            time.sleep(LOOK_INTERVAL)
        return _ask_interpreter(order)


def waits(number: int, second: int) -> bool:
    """Whether a thread in this system call, with this second argument, holds no lock that a new thread needs.

    Of the waits on a futex, malloc's locks use the plain one; semaphores and conditions that with a bit set.
    """
    if number == _FUTEX:
        return second & _FUTEX_COMMAND == _FUTEX_WAIT_BITSET
    return number in _WAITING


def threads(pid: int) -> list[int]:
    """The threads of a process, its main thread first."""
    return sorted(int(folder.name) for folder in Path(f"/proc/{pid}/task").iterdir())


def current_syscall(pid: int, tid: int) -> tuple[int, int]:
    """(number, second argument) of the system call that a thread is in; number -1 when it runs."""
    fields = Path(f"/proc/{pid}/task/{tid}/syscall").read_text().split()
    if len(fields) < 4 or int(fields[0]) < 0:
        return -1, 0
    return int(fields[0]), int(fields[2], 16)


def _waiting_threads(pid: int) -> Iterator[int]:
    for tid in threads(pid):
        try:
            if waits(*current_syscall(pid, tid)):
                yield tid
        except FileNotFoundError:
            continue  # It has ended.


def _start_at_once(order: _Order, tid: int) -> float | None:
    """Seconds for which the thread was held; None when it waits no longer, or has ended."""
    began = time.perf_counter()
    try:
        with hold(tid, order.memory) as thread:
            if not waits(*thread.syscall):
                return None
            page = _lay_out(thread, order)
            # Not from within the page: the new thread may have unmapped that before the call returns.
            run = (thread.scratch, 0, page + machine.RUN, page)
            failed = thread.call(order.functions["pthread_create"], *run) & _INT
            if failed:
                thread.call(order.functions["munmap"], page, len(order.page))
                raise InjectError(f"it can't start a thread: {os.strerror(failed)}")
    except TraceError as error:
        if error.errno == errno.ESRCH and tid != order.pid:
            return None
        raise
    return time.perf_counter() - began


def _ask_interpreter(order: _Order) -> float:
    """Seconds for which the main thread was held."""
    began = time.perf_counter()
    with hold(order.pid, order.memory) as thread:
        # It may be about to look at the error number of its last system call.
        place = thread.call(order.functions["__errno_location"])
        error_number = order.memory.read(place, 4)
        try:
            page = _lay_out(thread, order)
            if thread.call(order.functions["Py_AddPendingCall"], page + machine.PENDING, page) & _INT:
                thread.call(order.functions["munmap"], page, len(order.page))
                raise InjectError("the interpreter's queue of pending calls is full")
        finally:
            order.memory.write(place, error_number)
    return time.perf_counter() - began


def _lay_out(thread: HeldThread, order: _Order) -> int:
    """The address of the page of machine code in the process."""
    if not thread.call(order.functions["Py_IsInitialized"]) & _INT:
        raise InjectError("its interpreter isn't running yet, or no longer")
    address = thread.call(
        order.functions["mmap"], 0, len(order.page), _PROT_READ_EXEC, _MAP_PRIVATE_ANONYMOUS, _NO_FILE, 0
    )
    if address >= _ADDRESS_LIMIT:
        raise InjectError("it gets no memory for code: out of memory, or forbidden by SELinux")
    order.memory.write(address, order.page)
    return address
