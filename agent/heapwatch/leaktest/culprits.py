"""What a leaking site's objects are, what holds them, who stores them, and which extension module made them.

The site named first is the one that users would call the culprit: where a container takes the objects in;
for garbage the lines whose objects are in the cycles, not merely reached from them; for what C code holds the
lines of an installed package, if there are any, before the user's own that call it. Among equals, and after
them, the fastest growth comes first.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from heapwatch_wire.evidence import Call, Holder
from heapwatch_wire.sites import Stack, is_installed, is_native, responsible

from heapwatch.leaks.holders import HolderSearch, Outcome, Wanted
from heapwatch.leaks.roots import is_own_file
from heapwatch.leaktest.blocks import Survivors
from heapwatch.leaktest.extensions import called_at, module_of_library, module_of_type
from heapwatch.leaktest.keepers import keeper
from heapwatch.leaktest.report import LeakSite
from heapwatch.leaktest.sites import Site

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

    The fastest MAX_SITES are examined.
    """
    objects = {site.frame: _objects(site, survivors) for site in growing[:MAX_SITES]}
    tracks = [track for site in all_sites for track in site.tracks]
    storing = keeper(tracks, [obj for some in objects.values() for obj in some], survivors)
    examined = list(growing[:MAX_SITES])
    if storing is not None:
        frame = responsible(storing.frames)
        site = next(site for site in all_sites if site.frame == frame)
        examined = [site if frame in objects else replace(site, tracks=(storing,))]
        examined += [s for s in growing[:MAX_SITES] if s.frame != frame]
    outcomes = _outcomes(examined, survivors)
    found = [
        Finding(site, objects.get(site.frame, []), outcome)
        for site, outcome in zip(examined, outcomes, strict=True)
    ]
    if storing is None:
        found.sort(key=_rank)
    rest = {site.frame for site in examined}
    return found + [Finding(site, [], Outcome()) for site in growing if site.frame not in rest]


def _objects(site: Site, survivors: Survivors) -> list[object]:
    return [obj for track in site.tracks[:MAX_STACKS] for obj in survivors.objects(track.stack_id, SAMPLES)]


def _outcomes(sites: Sequence[Site], survivors: Survivors) -> list[Outcome]:
    """Types and holders of the sites' objects."""
    wanted = [Wanted([t.stack_id for t in s.tracks[:MAX_STACKS]], s.tracks[0].thread) for s in sites]
    search = HolderSearch(survivors, wanted, SLICE)
    while not search.advance():
        pass
    return search.outcomes()


def _rank(finding: Finding) -> tuple[bool, bool, bool, float]:
    """Lines of Python first; of these cycles, then what installed packages make, then the fastest."""
    roots = {holder.root for holder in finding.outcome.holders}
    hidden = bool(roots) and roots <= set(_OUT_OF_SIGHT)
    closes = hidden and any(map(_in_cycle, finding.objects))
    installed = hidden and is_installed(finding.site.frame)
    native = is_native(finding.site.frame)
    return (native, not closes, not installed, -finding.site.judgement.bytes_per_step)


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
