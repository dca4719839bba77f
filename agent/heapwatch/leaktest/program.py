"""The user's file: loaded, prepared, and run step by step."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import random
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from heapwatch.leaktest.position import ELSEWHERE, LOADING, SETUP, Position


class Broken(Exception):
    """The user's file can't be run; the text says where and why."""


class Program:
    """A file with `step(i)` and, if it likes, `setup()`; both may be coroutine functions.

    `position` is told what runs. Raises Broken when it can't be loaded or has no step.
    """

    def __init__(self, file: str, seed: int | None, position: Position) -> None:
        self._file = file
        self._position = position
        self._loop: asyncio.AbstractEventLoop | None = None
        self._seed(seed)
        position.now = LOADING
        try:
            self.module = _load(Path(file).resolve())
        except (Exception, SystemExit) as error:
            raise Broken(f"{file} can't be loaded:\n{_story(error)}") from None
        finally:
            position.now = ELSEWHERE
        step = self._callable("step")
        if step is None:
            raise Broken(f"{file} has no step(i): define the unit of work as `def step(i): ...`")
        self._step = step
        self.code: CodeType = inspect.unwrap(self.module.step).__code__
        self._seed(seed)  # What the imports drew depends on their versions.

    def setup(self) -> None:
        """Call the file's setup(), when it has one."""
        setup = self._callable("setup")
        if setup is None:
            return
        self._position.now = SETUP
        try:
            setup()
        except (Exception, SystemExit) as error:
            raise Broken(f"setup() of {self._file} failed:\n{_story(error)}") from None
        finally:
            self._position.now = ELSEWHERE

    def run(self, first: int, count: int) -> None:
        """Steps `first` to `first + count - 1`."""
        step, position = self._step, self._position
        i = first
        try:
            for i in range(first, first + count):
                position.now = i
                step(i)
        except (Exception, SystemExit) as error:
            raise Broken(f"step({i}) of {self._file} failed:\n{_story(error)}") from None
        finally:
            position.now = ELSEWHERE

    def _callable(self, name: str) -> Callable[..., Any] | None:
        found = getattr(self.module, name, None)
        if found is None or not inspect.iscoroutinefunction(found):
            return found
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        run = self._loop.run_until_complete
        return lambda *args: run(found(*args))

    @staticmethod
    def _seed(seed: int | None) -> None:
        if seed is None:
            return
        random.seed(seed)
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            numpy.random.seed(seed % 2**32)


def _load(path: Path) -> ModuleType:
    """The module of the file at `path`, with its folder first on the path as when Python runs it."""
    sys.path.insert(0, str(path.parent))
    name = path.stem if path.stem.isidentifier() and path.stem not in sys.modules else "leaktest_file"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _story(error: BaseException) -> str:
    """The traceback without the frames that are ours or the import system's."""
    trace = error.__traceback__
    own = str(Path(__file__).parent)
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith((own, "<frozen ")):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()
