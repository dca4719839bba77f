"""What a leaking site's objects are, what holds them, and which extension module made them."""

from __future__ import annotations

from collections.abc import Sequence

from heapwatch_wire.evidence import Call, Holder
from heapwatch_wire.sites import Stack

from heapwatch.leaks.holders import HolderSearch, Wanted
from heapwatch.leaks.roots import is_own_file
from heapwatch.leaktest.blocks import Survivors
from heapwatch.leaktest.report import LeakSite
from heapwatch.leaktest.sites import Site

MAX_SITES = 12
MAX_STACKS = 4
SLICE = 1.0


def describe(sites: Sequence[Site], survivors: Survivors) -> list[LeakSite]:
    """The leaking `sites` with types and holders, of the first MAX_SITES of them."""
    wanted = [
        Wanted([t.stack_id for t in s.tracks[:MAX_STACKS]], s.tracks[0].thread) for s in sites[:MAX_SITES]
    ]
    search = HolderSearch(survivors, wanted, SLICE)
    while not search.advance():
        pass
    found = [(o.type, tuple(map(_text, o.holders))) for o in search.outcomes()]
    found += [("", ())] * (len(sites) - len(found))
    return [_leak_site(site, kind, holders) for site, (kind, holders) in zip(sites, found, strict=True)]


def _users(stack: Stack) -> Stack:
    """`stack` without the frames that run the steps."""
    end = next((i for i, frame in enumerate(stack) if is_own_file(frame.file)), len(stack))
    return stack[:end]


def _text(holder: Holder) -> str:
    return f"{holder.path} ({holder.root}, {holder.share:.0%} of the objects)"


def _leak_site(site: Site, kind: str, holders: tuple[str, ...]) -> LeakSite:
    return LeakSite(
        file=site.frame.file,
        function=site.frame.function,
        line=site.frame.line,
        type=kind,
        module="",
        bytes_per_step=round(site.judgement.bytes_per_step, 1),
        count_per_step=round(site.judgement.objects_per_step, 3),
        holders=holders,
        stack=tuple(Call.of(frame) for frame in _users(site.tracks[0].frames)),
    )
