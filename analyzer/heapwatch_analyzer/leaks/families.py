"""Sites that belong to one leak: a cache's table, its keys and its values grow at several lines together.

Two growing sites are of one family when the same container holds their objects. Where it isn't known what
holds one of them, they are when the same function of the user's code calls both, or when both are made below
the same function of the user's code that isn't plumbing. Plumbing (middleware, main loops) is what most
sites run through, or what serves several endpoints. Sites held by different containers are never joined.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from heapwatch_wire.evidence import Call, Evidence
from heapwatch_wire.sites import Frame, is_installed, is_stdlib

from ..observations import SiteTracks
from ..recommendations import container
from .growing import GrowingSite
from .reports import holders

PLUMBING = 0.5
"""Share of all sites from which a function in their stacks is plumbing."""
FEW = 4
"""Sites below which that share says nothing."""

Function = tuple[str, str]


def families(
    growing: Sequence[GrowingSite],
    everything: Sequence[SiteTracks],
    reports: Mapping[str, Sequence[Evidence]],
) -> list[list[GrowingSite]]:
    """`growing` in groups of one leak each, fastest member first; `reports` by site id."""
    plumbing = _plumbing(everything)
    groups: list[list[GrowingSite]] = []
    for site in growing:
        home = next((g for g in groups if _related(site, g, reports, plumbing)), None)
        if home is None:
            groups.append([site])
        else:
            home.append(site)
    return groups


def _related(
    site: GrowingSite,
    group: Sequence[GrowingSite],
    reports: Mapping[str, Sequence[Evidence]],
    plumbing: set[Function],
) -> bool:
    held = _containers([site], reports)
    group_held = _containers(group, reports)
    if held and group_held:
        return bool(held & group_held)
    callers = _own_functions(site.tracks)
    return any(
        callers[:1] == other[:1] or bool((set(callers) & set(other)) - plumbing)
        for member in group
        if callers and (other := _own_functions(member.tracks))
    )


def _containers(group: Sequence[GrowingSite], reports: Mapping[str, Sequence[Evidence]]) -> set[str]:
    found = [h for g in group for h in holders(reports.get(g.tracks.site.id, ()))]
    return {container(h) for h in found if h.root not in ("C", "unknown")}


def _own_functions(tracks: SiteTracks) -> list[Function]:
    """Functions of the user's code in the site's stack, the innermost first.

    A service may itself be installed as a package: without any frame elsewhere, all but the standard
    library's count.
    """
    site = tracks.site
    stack = site.stack or (site.caller or Call(site.function, site.file, site.line),)
    frames = [f for f in (Frame(c.function, c.file, c.line) for c in stack) if not is_stdlib(f)]
    own = [f for f in frames if not is_installed(f)]
    return [(f.function, f.file) for f in own or frames]


def _plumbing(everything: Sequence[SiteTracks]) -> set[Function]:
    count: dict[Function, int] = defaultdict(int)
    served: dict[Function, set[str]] = defaultdict(set)
    for tracks in everything:
        endpoint = max(tracks.endpoints, key=lambda e: e.share).name if tracks.endpoints else ""
        for function in set(_own_functions(tracks)):
            count[function] += 1
            if endpoint:
                served[function].add(endpoint)
    common = {f for f, n in count.items() if len(everything) >= FEW and n > PLUMBING * len(everything)}
    return common | {f for f, names in served.items() if len(names) > 1}
