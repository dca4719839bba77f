"""A page of machine code (x86-64) that runs a piece of Python in a thread of its own, and then unmaps itself.

    +0x00   addresses of the functions in SLOTS, then the page's size
    +0x80   run(page): what the thread does
    +0xc0   pending(page): starts that thread, for the interpreter to call at a safe point
    +0x100  the Python code

In C:

    void *run(struct page *page)
    {
        pthread_detach(pthread_self());
        int state = PyGILState_Ensure();
        PyRun_SimpleString(page->code);
        PyGILState_Release(state);
        return munmap(page, page->size);      // a jump: its return goes to the C library
    }

    int pending(void *page)
    {
        pthread_t thread;
        pthread_create(&thread, NULL, run, page);
        return 0;
    }

The thread that `pending` starts can't unmap the page before `pending` has returned: it needs the interpreter
(GIL) first, which who called `pending` has. Nobody else may start the thread from within the page.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

SLOTS = (
    "pthread_create",
    "pthread_self",
    "pthread_detach",
    "PyGILState_Ensure",
    "PyRun_SimpleString",
    "PyGILState_Release",
    "munmap",
)
RUN, PENDING, CODE = 0x80, 0xC0, 0x100
_PAGE = 4096


def _slot(name: str) -> bytes:
    return bytes([8 * (SLOTS.index(name) if name in SLOTS else len(SLOTS))])


_RUN = b"".join(
    [
        b"\x53",  # push rbx
        b"\x48\x83\xec\x10",  # sub rsp, 16
        b"\x48\x89\xfb",  # mov rbx, rdi
        b"\xff\x53" + _slot("pthread_self"),  # call [rbx + ...]
        b"\x48\x89\xc7",  # mov rdi, rax
        b"\xff\x53" + _slot("pthread_detach"),
        b"\xff\x53" + _slot("PyGILState_Ensure"),
        b"\x89\x44\x24\x08",  # mov [rsp + 8], eax
        b"\x48\x8d\xbb" + struct.pack("<i", CODE),  # lea rdi, [rbx + CODE]
        b"\xff\x53" + _slot("PyRun_SimpleString"),
        b"\x8b\x7c\x24\x08",  # mov edi, [rsp + 8]
        b"\xff\x53" + _slot("PyGILState_Release"),
        b"\x48\x89\xdf",  # mov rdi, rbx
        b"\x48\x8b\x73" + _slot("size"),  # mov rsi, [rbx + ...]
        b"\x48\x8b\x43" + _slot("munmap"),  # mov rax, [rbx + ...]
        b"\x48\x83\xc4\x10",  # add rsp, 16
        b"\x5b",  # pop rbx
        b"\xff\xe0",  # jmp rax
    ]
)
_PENDING = b"".join(
    [
        b"\x48\x83\xec\x18",  # sub rsp, 24
        b"\x48\x89\xf9",  # mov rcx, rdi
        b"\x48\x8d\x97" + struct.pack("<i", RUN),  # lea rdx, [rdi + RUN]
        b"\x31\xf6",  # xor esi, esi
        b"\x48\x8d\x7c\x24\x08",  # lea rdi, [rsp + 8]
        b"\xff\x51" + _slot("pthread_create"),  # call [rcx + ...]
        b"\x31\xc0",  # xor eax, eax
        b"\x48\x83\xc4\x18",  # add rsp, 24
        b"\xc3",  # ret
    ]
)


def page(functions: Mapping[str, int], code: str) -> bytes:
    """The page, or as many as `code` needs, with the addresses that SLOTS asks for."""
    text = code.encode() + b"\0"
    size = (CODE + len(text) + _PAGE - 1) & -_PAGE
    result = struct.pack(f"<{len(SLOTS) + 1}Q", *(functions[name] for name in SLOTS), size)
    for place, part in ((RUN, _RUN), (PENDING, _PENDING), (CODE, text)):
        result = result.ljust(place, b"\xcc") + part
    return result.ljust(size, b"\0")
