"""Holders that packages leak by: each reads as the engineer would look for it.

The cases run in forked children of one process, for many of them leave something behind in the interpreter.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import Any

import pytest

CHILD = """
import gc, json, os, sys, threading, types
from heapwatch.leaks.holders import HolderSearch, Wanted

PAGE = '''
class Page:
    def __init__(self, number): self.body = [number]
    def shown(self, *args): pass
'''

class Samples:
    def __init__(self, objects):
        self.objects = objects
    def owners(self, stack_ids, limit):
        given, self.objects = self.objects[:limit], []
        yield [(stack_ids[0], obj) for obj in given]

def found(kind):
    samples = [o for o in gc.get_objects() if type(o) is kind]
    search = HolderSearch(Samples(samples), [Wanted([1])], budget=0.05)
    del samples
    while not search.advance():
        pass
    return [(h.root, h.path, round(h.share, 2)) for h in search.outcomes()[0].holders]

def run(case):
    shop = types.ModuleType("shop")
    sys.modules["shop"] = shop
    exec(PAGE, shop.__dict__)
    exec(case, shop.__dict__)
    for number in range(5):
        shop.leak(number)
    return found(shop.Page)

for name, case in json.loads(sys.argv[1]).items():
    sys.stdout.flush()
    if os.fork() == 0:
        sys.stderr = open(os.devnull, "w")
        print(json.dumps([name, run(case)]), flush=True)
        os._exit(0)
    os.wait()
"""

CASES: dict[str, tuple[str, list[tuple[str, str, float]]]] = {
    "a registry of classes made by a metaclass": (
        """
        class Meta(type):
            registry = {}
            def __new__(meta, name, bases, body):
                made = super().__new__(meta, name, bases, body)
                meta.registry[name] = made
                return made
        def leak(n): Meta(f"Model{n}", (), {"page": Page(n)})
        """,
        [("class", "shop.Meta.registry[*].page", 1.0)],
    ),
    "a cache of classes": (
        "CACHE = {}\ndef leak(n): CACHE[n] = type(f'Model{n}', (), {'page': Page(n)})",
        [("module", "shop.CACHE[*].page", 1.0)],
    ),
    "classes that their instances keep": (
        "KEPT = []\ndef leak(n): KEPT.append(type(f'Model{n}', (), {'page': Page(n)})())",
        [("module", "shop.KEPT[*].__class__.page", 1.0)],
    ),
    "a class that a cached function makes": (
        """
        import functools
        @functools.lru_cache(None)
        def leak(n):
            class Model: page = Page(n)
            return Model
        """,
        [("module", "shop.leak (lru_cache)[*].page", 1.0)],
    ),
    "a class that C code keeps": (
        """
        import ctypes
        def leak(n):
            made = type(f"Model{n}", (), {"page": Page(n)})
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(made))
        """,
        [("class", "shop.Model*.page", 1.0)],
    ),
    "lru_cache on a method keeps the instances": (
        """
        import functools
        class Service:
            def __init__(self, page): self.page = page
            @functools.lru_cache(maxsize=None)
            def get(self, n): return n
        def leak(n): Service(Page(n)).get(n)
        """,
        [("class", "shop.Service.get (lru_cache) (key)[0].page", 1.0)],
    ),
    "singledispatch": (
        """
        import functools
        @functools.singledispatch
        def render(x): pass
        def leak(n):
            page = Page(n)
            render.register(type(f"T{n}", (), {}), lambda x: page)
        """,
        [("module", "shop.render.registry[*] (closure: page)", 1.0)],
    ),
    "weakref.finalize": (
        """
        import weakref
        class Target: pass
        TARGET = Target()
        def leak(n): weakref.finalize(TARGET, print, Page(n))
        """,
        [("class", "weakref.finalize._registry[<weakref.finalize>].args[0]", 1.0)],
    ),
    "the callback of a weak reference": (
        """
        import weakref
        class Target: pass
        TARGET, REFS = Target(), []
        def leak(n):
            page = Page(n)
            REFS.append(weakref.ref(TARGET, lambda r: page))
        """,
        [("module", "shop.REFS[*].__callback__ (closure: page)", 1.0)],
    ),
    "a dict with weak keys": (
        """
        import weakref
        class Target: pass
        TARGET, BY_TARGET = Target(), weakref.WeakKeyDictionary()
        def leak(n): BY_TARGET.setdefault(TARGET, []).append(Page(n))
        """,
        [("module", "shop.BY_TARGET.data[<weakref to shop.Target>][*]", 1.0)],
    ),
    "atexit": (
        "import atexit\ndef leak(n): atexit.register(Page(n).shown)",
        [("module", "atexit.register(…).__self__", 1.0)],
    ),
    "an argument of atexit": (
        "import atexit\ndef leak(n): atexit.register(print, Page(n))",
        [("module", "atexit.register(…)", 1.0)],
    ),
    "codecs": (
        "import codecs\ndef leak(n): codecs.register(Page(n).shown)",
        [("module", "codecs.register(…)[*].__self__", 1.0)],
    ),
    "signal handlers that call the one before": (
        """
        import signal
        def leak(n):
            page, before = Page(n), signal.getsignal(signal.SIGUSR1)
            def handler(number, frame): return page, before
            signal.signal(signal.SIGUSR1, handler)
        """,
        [
            ("module", "signal.getsignal(SIGUSR1) (closure: before)… (closure: page)", 0.8),
            ("module", "signal.getsignal(SIGUSR1) (closure: page)", 0.2),
        ],
    ),
    "handlers of a logger": (
        """
        import logging
        def leak(n):
            handler = logging.NullHandler(); handler.page = Page(n)
            logging.getLogger("shop.web").addHandler(handler)
        """,
        [("class", "logging.Logger.manager.loggerDict['shop.web'].handlers[*].page", 1.0)],
    ),
    "a logger for each user": (
        "import logging\ndef leak(n): logging.getLogger(f'shop.user.{n}').page = Page(n)",
        [("class", "logging.Logger.manager.loggerDict[*].page", 1.0)],
    ),
    "a context variable": (
        "import contextvars\nPAGES = contextvars.ContextVar('pages')\n"
        "def leak(n): PAGES.set((*PAGES.get(()), Page(n)))",
        [("thread", "the current context of a thread[ContextVar 'pages'][*]", 1.0)],
    ),
    "a kept context": (
        """
        import contextvars
        PAGE, KEPT = contextvars.ContextVar("page"), []
        def leak(n):
            context = contextvars.copy_context()
            context.run(PAGE.set, Page(n))
            KEPT.append(context)
        """,
        [("module", "shop.KEPT[*][ContextVar 'page']", 1.0)],
    ),
    "asyncio tasks that wait for ever": (
        """
        import asyncio
        LOOP, TASKS = asyncio.new_event_loop(), set()
        async def wait(page): await asyncio.Event().wait()
        def leak(n):
            TASKS.add(LOOP.create_task(wait(Page(n))))
            LOOP.run_until_complete(asyncio.sleep(0))
        """,
        [("module", "shop.TASKS{*}.get_coro(): wait (<string>:4), local page", 1.0)],
    ),
    "asyncio timers": (
        "import asyncio\nLOOP = asyncio.new_event_loop()\ndef leak(n): LOOP.call_later(3600, print, Page(n))",
        [("module", "shop.LOOP._scheduled[*]._args[0]", 1.0)],
    ),
    "the executor's queue": (
        """
        import concurrent.futures, threading
        POOL, NEVER = concurrent.futures.ThreadPoolExecutor(1), threading.Event()
        POOL.submit(NEVER.wait)
        def leak(n): POOL.submit(print, Page(n))
        """,
        # The pool's thread has the queue, too: it is a reference nearer where attributes lie in the object.
        [
            ("thread", "thread 'ThreadPoolExecutor-0_0'._args[1].args[0]", 1.0)
            if sys.version_info >= (3, 13)
            else ("module", "shop.POOL._work_queue[*].args[0]", 1.0)
        ],
    ),
    "modules": (
        "import sys, types\ndef leak(n):\n    made = types.ModuleType(f'plugin_{n}'); made.page = Page(n)\n"
        "    sys.modules[made.__name__] = made",
        [("module", "plugin_*.page", 1.0)],
    ),
    "modules that are no longer imported": (
        "import types\nKEPT = []\ndef leak(n):\n    made = types.ModuleType('plugin'); made.page = Page(n)\n"
        "    KEPT.append(made)",
        [("module", "shop.KEPT[*].__dict__['page']", 1.0)],
    ),
    "generators": (
        "KEPT = []\ndef pages(page):\n    while True: yield page\n"
        "def leak(n):\n    made = pages(Page(n)); next(made); KEPT.append(made)",
        [("module", "shop.KEPT[*]: pages (<string>:3), local page", 1.0)],
    ),
    "exceptions with their tracebacks": (
        """
        ERRORS = []
        def leak(n):
            page = Page(n)
            try: raise ValueError(n)
            except ValueError as error: ERRORS.append(error)
        """,
        [("module", "shop.ERRORS[*].__traceback__.tb_frame, local page", 1.0)],
    ),
    "the causes of an exception": (
        """
        LAST = []
        def leak(n):
            error = ValueError(Page(n))
            error.__cause__ = LAST[0] if LAST else None
            LAST[:] = [error]
        """,
        [
            ("module", "shop.LAST[0].__cause__….args[0]", 0.8),
            ("module", "shop.LAST[0].args[0]", 0.2),
        ],
    ),
    "a linked list": (
        "HEAD = None\ndef leak(n):\n    global HEAD\n    HEAD = {'next': HEAD, 'page': Page(n)}",
        [("module", "shop.HEAD['next']…['page']", 0.8), ("module", "shop.HEAD['page']", 0.2)],
    ),
    "nested tuples are no linked list": (
        "KEPT = []\ndef leak(n): KEPT.append((((Page(n), n),),))",
        [("module", "shop.KEPT[*][0][0][0]", 1.0)],
    ),
    "a default argument": (
        "def leak(n, pages=[]): pages.append(Page(n))",
        [("module", "shop.leak (defaults)[0][*]", 1.0)],
    ),
    "a function wrapped again and again": (
        """
        import functools
        entry = print
        def leak(n):
            global entry
            page, inner = Page(n), entry
            @functools.wraps(inner)
            def wrapper(*args): return page
            entry = wrapper
        """,
        [
            ("module", "shop.entry.__wrapped__… (closure: page)", 0.8),
            ("module", "shop.entry (closure: page)", 0.2),
        ],
    ),
    "threads that never end": (
        """
        import threading
        NEVER = threading.Event()
        def leak(n):
            made = threading.Thread(target=lambda page: NEVER.wait(), args=(Page(n),), daemon=True)
            made.name = f"job-{n}"; made.start()
        """,
        [("thread", "thread 'job-*'._args[0]", 1.0)],
    ),
    "threads that have ended": (
        """
        import threading
        DONE = []
        def leak(n):
            made = threading.Thread(target=print); made.page = Page(n)
            made.start(); made.join(); DONE.append(made)
        """,
        [("module", "shop.DONE[*].page", 1.0)],
    ),
    "callbacks in ctypes": (
        "import ctypes\nKEPT = []\ndef leak(n): KEPT.append(ctypes.py_object(Page(n)))",
        [("module", "shop.KEPT[*]._objects", 1.0)],
    ),
    "importers": (
        "import sys\ndef leak(n): sys.meta_path.append(Page(n))",
        [("module", "sys.meta_path[*]", 1.0)],
    ),
    "calls that a mock recorded": (
        "import unittest.mock\nSTUB = unittest.mock.Mock()\ndef leak(n): STUB(Page(n))",
        [
            ("module", "shop.STUB._mock_call_args_list[*][0][0]", 0.8),
            ("module", "shop.STUB._mock_call_args[0][0]", 0.2),
        ],
    ),
    "what only cycles hold": (
        "import gc\ndef leak(n):\n    gc.disable(); page = Page(n); page.me = page",
        [("unknown", "only a reference cycle: shop.Page", 1.0)],
    ),
}


@pytest.fixture(scope="module")
def results() -> dict[str, list[tuple[str, str, float]]]:
    cases = json.dumps({name: textwrap.dedent(case) for name, (case, _) in CASES.items()})
    command = [sys.executable, "-W", "ignore", "-c", CHILD, cases]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    rows: list[tuple[str, list[Any]]] = [json.loads(line) for line in lines]
    return {name: [tuple(holder) for holder in holders] for name, holders in rows}


@pytest.mark.parametrize("name", CASES)
def test_the_holder_is_named(results: dict[str, list[tuple[str, str, float]]], name: str) -> None:
    assert results[name] == CASES[name][1]
