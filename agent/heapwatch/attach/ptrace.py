"""One thread of another process, held still: its registers, and calls of functions in it.

A call is made as gdb makes it: arguments into registers, a return address where nothing is mapped, run until
the thread faults there. All other threads of the process run on. Linux on x86-64 only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from heapwatch.attach.images import Memory

MACHINE = "x86_64"
STOP_LIMIT = 2.0
CALL_LIMIT = 10.0

_CONT, _DETACH = 7, 17
_GETREGSET, _SETREGSET, _SEIZE, _INTERRUPT = 0x4204, 0x4205, 0x4206, 0x4207
_GENERAL, _EXTENDED = 1, 0x202
_EXTENDED_LIMIT = 16384
_EVENT_STOP = 128
_WALL = 0x40000000
_RED_ZONE = 128
_SCRATCH = 16
_NAMES = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
    *("orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"),
)
_ARGUMENTS = ("rdi", "rsi", "rdx", "rcx", "r8", "r9")
_NO_SYSCALL = (1 << 64) - 1
_DIRECTION_FLAG = 0x400
_REGISTERS = struct.Struct(f"<{len(_NAMES)}Q")


class TraceError(OSError):
    """The kernel refused, or the thread didn't do what was asked of it; `errno` says more where it is set."""


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class HeldThread:
    """A thread that stands still; made by `hold`.

    `scratch` is the address of 16 bytes on its stack that calls may write to.
    """

    def __init__(self, tid: int, memory: Memory) -> None:
        self.tid = tid
        self._memory = memory
        self._registers = _get_registers(tid)
        self.scratch = (self._registers["rsp"] - _RED_ZONE - _SCRATCH) & ~15
        self._extended = _get_set(tid, _EXTENDED, _EXTENDED_LIMIT)

    @property
    def syscall(self) -> tuple[int, int]:
        """(number, second argument) of the system call that the thread was stopped in; number -1 for none."""
        number = self._registers["orig_rax"]
        return (-1 if number == _NO_SYSCALL else number), self._registers["rsi"]

    @property
    def instruction(self) -> int:
        """The address of the instruction that comes next."""
        return self._registers["rip"]

    def call(self, function: int, *arguments: int) -> int:
        """What the function at that address returns. TraceError when it faults or takes too long."""
        # 16 bytes aligned before the return address, which is 0.
        stack = self.scratch - 8
        self._memory.write(stack, bytes(8))
        called = {
            **self._registers,
            **dict(zip(_ARGUMENTS, arguments, strict=False)),
            "rip": function,
            "rsp": stack,
            "rax": 0,
            # The kernel must not take the call for the system call, and begin that again.
            "orig_rax": _NO_SYSCALL,
            "eflags": self._registers["eflags"] & ~_DIRECTION_FLAG,
        }
        _set_registers(self.tid, called)
        _trace(_CONT, self.tid)
        return self._result()

    def put_back(self) -> None:
        """Registers as they were when the thread was stopped."""
        _set_set(self.tid, _EXTENDED, self._extended)
        _set_registers(self.tid, self._registers)

    def _result(self) -> int:
        deadline = time.monotonic() + CALL_LIMIT
        while True:
            status = _wait(self.tid, deadline)
            if status is None:
                _stop(self.tid)
                raise TraceError(errno.EBUSY, "a function that was called in the process doesn't return")
            number, event = os.WSTOPSIG(status), status >> 16
            now = _get_registers(self.tid)
            if number == signal.SIGSEGV and now["rip"] == 0:
                return now["rax"]
            if number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL):
                raise TraceError(errno.EFAULT, f"a function called in the process ended with signal {number}")
            # A signal for the process: let it have it. Stops of the whole process are for later.
            _trace(_CONT, self.tid, 0, 0 if event else number)


@contextmanager
def hold(tid: int, memory: Memory) -> Iterator[HeldThread]:
    """Stop thread `tid` for the time of a `with` block; TraceError when it can't be.

    Signals to this process wait meanwhile: the thread would crash if we left it in the middle of a call.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        _trace(_SEIZE, tid)
        try:
            _stop(tid)
            held = HeldThread(tid, memory)
            try:
                yield held
            finally:
                held.put_back()
        finally:
            _trace_if_there(_DETACH, tid)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _stop(tid: int) -> None:
    _trace(_INTERRUPT, tid)
    deadline = time.monotonic() + STOP_LIMIT
    while True:
        status = _wait(tid, deadline)
        if status is None:
            raise TraceError(
                errno.EBUSY, "the thread can't be stopped: it waits for a disk or a network file"
            )
        if status >> 16 == _EVENT_STOP:
            return
        _trace(_CONT, tid, 0, os.WSTOPSIG(status))


def _wait(tid: int, deadline: float) -> int | None:
    """The status of the thread's next stop; None at the deadline. TraceError when the thread ends."""
    while True:
        found, status = os.waitpid(tid, _WALL | os.WNOHANG)
        if found and not os.WIFSTOPPED(status):
            raise TraceError(errno.ESRCH, "the process has ended")
        if found:
            return status
        if time.monotonic() > deadline:
            return None
        time.sleep(20e-6)


_library = ctypes.CDLL(None, use_errno=True)
_library.ptrace.restype = ctypes.c_long
_library.ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def _trace(request: int, tid: int, address: int = 0, data: int | None = 0) -> None:
    if _library.ptrace(request, tid, address, data) < 0:
        number = ctypes.get_errno()
        raise TraceError(number, os.strerror(number))


def _trace_if_there(request: int, tid: int) -> None:
    _library.ptrace(request, tid, 0, 0)


def _get_set(tid: int, kind: int, limit: int) -> bytes:
    buffer = ctypes.create_string_buffer(limit)
    vector = _Vector(ctypes.addressof(buffer), limit)
    _trace(_GETREGSET, tid, kind, ctypes.addressof(vector))
    return buffer.raw[: vector.size]


def _set_set(tid: int, kind: int, data: bytes) -> None:
    buffer = ctypes.create_string_buffer(data, len(data))
    vector = _Vector(ctypes.addressof(buffer), len(data))
    _trace(_SETREGSET, tid, kind, ctypes.addressof(vector))


def _get_registers(tid: int) -> dict[str, int]:
    return dict(zip(_NAMES, _REGISTERS.unpack(_get_set(tid, _GENERAL, _REGISTERS.size)), strict=True))


def _set_registers(tid: int, registers: Mapping[str, int]) -> None:
    _set_set(tid, _GENERAL, _REGISTERS.pack(*(registers[name] for name in _NAMES)))
