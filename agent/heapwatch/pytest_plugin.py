"""pytest: `@pytest.mark.heapwatch(max_growth="0")` on a test, and `pytest --heapwatch` to have it measured.

With the option, a marked test function is called many times with the fixtures it got, and fails when live
memory grows by more than `max_growth` a call. Without it the test runs once, like any other. Nothing of
Heapwatch but this module is loaded before the first marked test runs with the option.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import partial
from types import CodeType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from heapwatch.leaktest.plan import Plan

MARK = "heapwatch"
STEPS = 500
WARMUP = 100
_HELP = (
    'heapwatch(max_growth="0", steps=500, warmup=100): with --heapwatch, call the test `steps` times after'
    " `warmup` calls and fail when memory grows by more than max_growth a call (100, 100B, 1KiB)"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("heapwatch", "memory leaks").addoption(
        "--heapwatch",
        action="store_true",
        help="run tests marked with @pytest.mark.heapwatch many times and fail those that leak memory",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _HELP)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    mark = pyfuncitem.get_closest_marker(MARK)
    if mark is None or not pyfuncitem.config.getoption("--heapwatch"):
        return None
    # They load the sampler: not for a run that doesn't ask for it.
    from heapwatch.cli.leaktest_text import text
    from heapwatch.leaktest.program import Broken
    from heapwatch.leaktest.session import Session, started_sampler

    plan = _plan(pyfuncitem.name, mark)
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names if name in pyfuncitem.funcargs}
    try:
        sampler = started_sampler()
    except Broken as error:
        pytest.fail(f"heapwatch: {error}", pytrace=False)
    report = Session(plan, _Calls(pyfuncitem.obj, arguments), sampler, _ignore).run()
    if report.leak:
        pytest.fail(_story(text(report, pyfuncitem.nodeid), plan), pytrace=False)
    return True


class _Calls:
    """A test function with its arguments, called again and again."""

    def __init__(self, function: Callable[..., Any], arguments: dict[str, Any]) -> None:
        self.code: CodeType = inspect.unwrap(function).__code__
        self._call: Callable[[], Any] = partial(function, **arguments)
        self._awaited = inspect.iscoroutinefunction(function)

    def run(self, first: int, count: int) -> None:
        for _ in range(count):
            if self._awaited:
                asyncio.run(self._call())
            else:
                self._call()


def _plan(name: str, mark: pytest.Mark) -> Plan:
    """The plan that the marker asks for; a usage error names what it can't be."""
    from heapwatch.leaktest.plan import Plan, growth_limit

    unknown = set(mark.kwargs) - {"max_growth", "steps", "warmup"}
    if unknown or mark.args:
        raise pytest.UsageError(f"{name}: unknown argument of the heapwatch marker; it takes {_HELP}")
    try:
        floor = growth_limit(str(mark.kwargs.get("max_growth", "0")))
    except ValueError as error:
        raise pytest.UsageError(f"{name}: max_growth of the heapwatch marker: {error}") from None
    steps, warmup = mark.kwargs.get("steps", STEPS), mark.kwargs.get("warmup", WARMUP)
    return Plan(name, int(steps), int(warmup), None, floor)


def _story(report: str, plan: Plan) -> str:
    return f"memory grows by more than {plan.floor:g} bytes a call\n{report}"


def _ignore(done: int, of: int) -> None:
    """Progress is not shown."""
