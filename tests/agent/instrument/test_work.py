"""Pieces of work that end in another order than they began, or elsewhere."""

from __future__ import annotations

import gc
from contextvars import copy_context
from typing import TYPE_CHECKING

import pytest
from heapwatch.instrument.requests import Requests
from heapwatch.instrument.work import Work
from heapwatch.sampler import NO_LABEL
from heapwatch.scopes import CURRENT

if TYPE_CHECKING:
    from conftest import ScriptedSampler


@pytest.fixture
def requests(sampler: ScriptedSampler) -> Requests:
    return Requests(sampler)


def label() -> int:
    """What a sample taken now would be labelled with."""
    scope = CURRENT.get()
    return NO_LABEL if scope is None else scope.label


def test_work_that_ends_before_what_began_inside_it_is_never_current_again(requests: Requests) -> None:
    base, outer, inner = (requests.begin_job(name) for name in ("base", "outer", "inner"))
    within = inner.label
    outer.end()
    assert label() == within
    inner.end()
    assert CURRENT.get() is base
    base.end()
    assert CURRENT.get() is None


def test_work_that_ends_in_another_context_labels_nothing_in_its_own(requests: Requests) -> None:
    began = copy_context()
    work = began.run(requests.begin_job, "job")
    assert began.run(label) == work.label != NO_LABEL
    work.end()
    assert began.run(label) == NO_LABEL
    began.run(requests.begin_job, "next").end()
    assert began.run(label) == NO_LABEL


def test_work_that_overlaps_hand_over_hand_is_not_kept(requests: Requests) -> None:
    name = "hand over hand"
    last = requests.begin_job(name)
    for _ in range(100):
        before, last = last, requests.begin_job(name)
        before.end()
    alive = [thing for thing in gc.get_objects() if isinstance(thing, Work) and thing.endpoint.name == name]
    assert len(alive) <= 2
    last.end()
    assert CURRENT.get() is None
