"""What a leaking site's objects are, what holds them, who stores them, and which extension module made them.

The site named first is the one that users would call the culprit: where a container takes the objects in;
for garbage the lines whose objects are in the cycles, not merely reached from them; for what C code holds the
lines of an installed package, if there are any, before the user's own that call it. Among equals, and after
them, the fastest growth comes first.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from heapwatch_wire.evidence import Call, Holder
from heapwatch_wire.sites import Stack, is_installed, responsible

from heapwatch.leaks.holders import HolderSearch, Objects, Outcome, Wanted
from heapwatch.leaks.roots import is_own_file
from heapwatch.leaktest.blocks import Survivors
from heapwatch.leaktest.extensions import called_at, module_of_library, module_of_type
from heapwatch.leaktest.keepers import keeper
from heapwatch.leaktest.report import LeakSite
from heapwatch.leaktest.sites import Site
from heapwatch.sampler import Owners

MAX_SITES = 12
MAX_STACKS = 4
SLICE = 1.0
SAMPLES = 16
CYCLE_VISITED = 2000
_OUT_OF_SIGHT = ("C", "unknown")


@dataclass(frozen=True)
class Finding:
    """A leaking site with some of its objects and what was found of them."""

    site: Site
    objects: list[object]
    outcome: Outcome


def find(growing: Sequence[Site], all_sites: Sequence[Site], survivors: Survivors) -> list[Finding]:
    """What is known of `growing`, the culprit first; the line that stores is added when it isn't among them.

    The fastest MAX_SITES are examined. Of the line that stores, the container that it stores in comes first
    among the holders.
    """
    examined, rest = list(growing[:MAX_SITES]), growing[MAX_SITES:]
    outcomes = _outcomes(examined, survivors)
    # After the search, which would find this list among the holders.
    objects = [_objects(site, survivors) for site in examined]
    tracks = [track for site in all_sites for track in site.tracks]
    growing_tracks = [track for site in examined for track in site.tracks[:MAX_STACKS]]
    storing = keeper(growing_tracks, tracks, [obj for some in objects for obj in some], survivors)
    if storing is not None:
        track, container = storing
        frame = responsible(track.frames)
        site = next(site for site in all_sites if site.frame == frame)
        examined, objects = [replace(site, tracks=(track,)), *examined], [[], *objects]
        outcomes = [_search(_Kept(container), [Wanted([0])])[0], *outcomes]
    found = [Finding(*row) for row in zip(examined, objects, outcomes, strict=True)]
    if storing is None:
        found.sort(key=_rank)
    else:
        found = _merged(found[0], found[1:])
    return found + [Finding(site, [], Outcome()) for site in rest]


def _merged(storing: Finding, found: Sequence[Finding]) -> list[Finding]:
    """`storing` first, as one with the site of the same line, if there is one."""
    same = next((f for f in found if f.site.frame == storing.site.frame), None)
    if same is None:
        return [storing, *found]
    holders = dict.fromkeys([*storing.outcome.holders, *same.outcome.holders])
    first = replace(same, outcome=replace(same.outcome, holders=tuple(holders)))
    return [first, *(f for f in found if f is not same)]


def _objects(site: Site, survivors: Survivors) -> list[object]:
    return [obj for track in site.tracks[:MAX_STACKS] for obj in survivors.objects(track.stack_id, SAMPLES)]


def _outcomes(sites: Sequence[Site], survivors: Survivors) -> list[Outcome]:
    """Types and holders of the sites' objects."""
    wanted = [Wanted([t.stack_id for t in s.tracks[:MAX_STACKS]], s.tracks[0].thread) for s in sites]
    return _search(survivors, wanted)


def _search(objects: Objects, wanted: Sequence[Wanted]) -> list[Outcome]:
    search = HolderSearch(objects, wanted, SLICE)
    while not search.advance():
        pass
    return search.outcomes()


class _Kept:
    """Stands in for the sampler to search what holds a container."""

    def __init__(self, container: object) -> None:
        self._containers = [container]

    def owners(self, stack_ids: Sequence[int], limit: int) -> Iterator[Owners]:
        yield [(stack_ids[0], self._containers.pop())]


def _rank(finding: Finding) -> tuple[bool, bool, bool, float]:
    """Objects before the native memory that belongs to them; of these cycles, then what installed packages
    make, then the fastest."""
    roots = {holder.root for holder in finding.outcome.holders}
    hidden = bool(roots) and roots <= set(_OUT_OF_SIGHT)
    closes = hidden and any(map(_in_cycle, finding.objects))
    installed = hidden and is_installed(finding.site.frame)
    return (bool(finding.site.library), not closes, not installed, -finding.site.judgement.bytes_per_step)


def describe(findings: Sequence[Finding], run: Callable[[], None]) -> list[LeakSite]:
    """The findings for the report; `run` runs a few more steps, to see which extension modules they call."""
    modules = called_at([finding.site.frame for finding in findings], run)
    described = []
    for finding in findings:
        frame, judgement = finding.site.frame, finding.site.judgement
        kind = finding.outcome.type
        described.append(
            LeakSite(
                file=frame.file,
                function=frame.function,
                line=frame.line,
                type=kind,
                module=modules[frame] or module_of_type(kind) or module_of_library(finding.site.library),
                bytes_per_step=round(judgement.bytes_per_step, 1),
                count_per_step=round(judgement.objects_per_step, 3),
                holders=tuple(map(_text, finding.outcome.holders)),
                stack=tuple(Call.of(f) for f in _users(finding.site.tracks[0].frames)),
            )
        )
    return described


def _in_cycle(obj: object) -> bool:
    """Whether `obj` refers to itself through others."""
    level, seen = [obj], {id(obj)}
    while level and len(seen) < CYCLE_VISITED:
        following = []
        for inner in gc.get_referents(*level):
            if inner is obj:
                return True
            if id(inner) not in seen and gc.is_tracked(inner) and not isinstance(inner, type):
                seen.add(id(inner))
                following.append(inner)
        level = following
    return False


def _users(stack: Stack) -> Stack:
    """`stack` without the frames that run the steps."""
    end = next((i for i, frame in enumerate(stack) if is_own_file(frame.file)), len(stack))
    return stack[:end]


def _text(holder: Holder) -> str:
    return f"{holder.path} ({holder.root}, {holder.share:.0%} of the objects)"
