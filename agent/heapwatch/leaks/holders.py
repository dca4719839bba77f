"""What keeps objects alive: a breadth-first search from samples up to what holds itself.

First some objects of each site are found, then comes one walk over the heap per level of references. The
extension walks (`_sampler.Walk`), in steps of a few milliseconds, so that requests run in between; nothing
but the objects on the way is kept meanwhile. Several sites are searched at once at no more cost.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from heapwatch_wire.evidence import Holder

from heapwatch.leaks.chains import Chain, merge
from heapwatch.leaks.cycles import Cycle
from heapwatch.leaks.nodes import Node, chain_to, cycle_above, is_resolved, upwards
from heapwatch.leaks.references import CONTAINERS, describe, step, type_name
from heapwatch.leaks.roots import Roots, is_own
from heapwatch.sampler import STEP, Owners, Walk, walk

MAX_SAMPLES = 8
MAX_LOOKED_AT = 64
MAX_DEPTH = 24
MAX_NODES = 4000
MAX_HOLDERS_OF_ONE = 24
MAX_INSTANCES = 4
MAX_CPU = 3.0

NO_OBJECTS = "no sampled block of the site that lives now is a Python object, or the storage of one"
REUSED = (dict, list, tuple, float)
"""Types whose freed objects CPython uses again without asking for memory: no sampler sees who has them."""
REUSED_SIZE = 256
HANDED_ON = (
    "CPython uses freed {0} objects again: the line may be one that dropped such an object before; the holder"
    " is sure"
)
ENDED_EARLY = "the search ended early, at its limit of time or of objects"


class Objects(Protocol):
    """The part of the sampler that the search needs."""

    def owners(self, stack_ids: Sequence[int], limit: int) -> Iterator[Owners]: ...


@dataclass(frozen=True)
class Outcome:
    """What was found: the type that matters, the holders, and sentences that say how sure this is.

    `cycles` has a reference cycle of each sample that nothing else holds.
    """

    type: str = ""
    holders: tuple[Holder, ...] = ()
    reasons: tuple[str, ...] = ()
    cycles: tuple[Cycle, ...] = ()

    @property
    def kind(self) -> Literal["python", "cycle"]:
        """ "cycle" when nothing but cycles holds the samples: only the garbage collector frees them."""
        only = self.holders and all(holder.root == "unknown" for holder in self.holders)
        return "cycle" if only and self.cycles else "python"


@dataclass(frozen=True)
class Wanted:
    """A site whose objects' holders are wanted: its stacks, and the thread that allocated most."""

    stack_ids: Sequence[int]
    thread: str = ""


class _Site:
    """Objects found of a site, and of those the samples: some of the type that tells most."""

    def __init__(self, wanted: Wanted) -> None:
        self.thread = wanted.thread
        self.type = ""
        self.found: list[object] = []
        self.samples: list[Node] = []

    def choose(self, nodes: dict[int, Node]) -> None:
        """Take the samples; `nodes` by id of their objects are those of all sites."""
        self.type, chosen = _choose(self.found)
        self.found = []
        self.samples = [nodes.setdefault(id(obj), Node(obj)) for obj in chosen]


class HolderSearch:
    """Searches what holds live samples of several sites at once: a walk over the heap serves them all.

    `cpu` is what it has cost so far, in seconds.
    """

    def __init__(self, sampler: Objects, wanted: Sequence[Wanted], budget: float) -> None:
        self._budget = budget
        self.cpu = 0.0
        self._depth = self._heap = self._slices = 0
        self._looked_twice = self._ended_early = False
        self._roots = Roots()
        self._nodes: dict[int, Node] = {}
        self._sites = [_Site(w) for w in wanted]
        pairs = zip(self._sites, wanted, strict=True)
        self._site_of = {stack: site for site, w in pairs for stack in w.stack_ids}
        self._finding: Iterator[Owners] | None = sampler.owners(list(self._site_of), MAX_LOOKED_AT)
        self._samples: list[Node] = []
        self._frontier: dict[int, Node] = {}
        self._targets: dict[int, Node] = {}
        self._edges: dict[int, list[Node]] = defaultdict(list)
        self._walk: Walk | None = None
        self._concluded: list[Outcome] | None = None

    def advance(self) -> bool:
        """One slice of at most the budget; True when the search is over."""
        if self._concluded is None:
            started, deadline = time.thread_time(), time.perf_counter() + self._budget
            self._step()
            while self._concluded is None and time.perf_counter() + STEP < deadline:
                self._step()
            self.cpu += time.thread_time() - started
            self._slices += 1
        return self._concluded is not None

    def outcomes(self) -> list[Outcome]:
        """What is known so far of each site wanted."""
        return self._concluded if self._concluded is not None else self._conclude()

    def _step(self) -> None:
        if self._finding is not None:
            self._find(self._finding)
        elif self._look():
            self._rise()

    def _find(self, finding: Iterator[Owners]) -> None:
        """Look for objects of the sites for a step."""
        found = next(finding, None)
        for stack, obj in found or ():
            self._site_of[stack].found.append(obj)
        if found is not None:
            return
        self._finding = None
        for site in self._sites:
            site.choose(self._nodes)
        self._samples = list(self._nodes.values())
        self._frontier = dict(self._nodes)
        if not self._samples:
            self._finish()

    def _look(self) -> bool:
        """Look for holders of the frontier for a step; True when the whole heap was seen, or enough."""
        if self._walk is None:
            self._walk = walk()
            self._targets = dict(self._frontier)
        nodes = list(self._targets.values())
        self._note(self._walk.referrers([node.obj for node in nodes], STEP), nodes)
        self._heap = max(self._heap, self._walk.seen)
        return self._walk.done or not self._targets

    def _rise(self) -> None:
        """Go on with the level above."""
        self._walk = None
        self._depth += 1
        self._climb()
        self._frontier = self._still_wanted(self._frontier.values())
        if not self._frontier and not self._looked_twice:
            # An object may have slipped past between two steps: before C code is blamed, look again.
            self._looked_twice = True
            self._frontier = self._still_wanted(n for n in self._nodes.values() if n.missing > 0)
        exhausted = self._depth >= MAX_DEPTH or self.cpu > MAX_CPU or len(self._nodes) >= MAX_NODES
        self._ended_early = exhausted and bool(self._frontier)
        if exhausted or not self._frontier:
            self._finish()

    def _still_wanted(self, nodes: Iterable[Node]) -> dict[int, Node]:
        """Those of `nodes` that are above a sample for which no root was found yet."""
        wanted = {id(n) for s in self._samples if not is_resolved(s) for n in upwards(s)}
        return {id(node.obj): node for node in nodes if id(node) in wanted}

    def _finish(self) -> None:
        self._concluded = self._conclude()
        self._sites.clear()
        self._site_of.clear()
        self._samples.clear()
        self._nodes.clear()
        self._frontier.clear()
        self._targets.clear()
        del self._roots

    def _note(self, found: list[tuple[object, int, int]], nodes: Sequence[Node]) -> None:
        for holder, target, references in found:
            if type(holder) is not Node and not is_own(holder):
                self._record(nodes[target], holder, references)
        for node in {id(nodes[target]): nodes[target] for _, target, _ in found}.values():
            # Nothing is left to find for what has all its references accounted for, or more than enough.
            if len(self._edges[id(node.obj)]) >= MAX_HOLDERS_OF_ONE or node.missing <= 0:
                self._targets.pop(id(node.obj), None)

    def _record(self, node: Node, holder: object, references: int) -> None:
        known = self._edges[id(node.obj)]
        if any(other.obj is holder for other in known) or any(n.obj is holder for n, _ in node.above):
            return
        # Of a class its instances tell less than the registry that keeps it.
        limit = MAX_INSTANCES if type(holder) is node.obj else MAX_HOLDERS_OF_ONE
        if len(known) < limit:
            known.append(Node(holder))
        node.found += references

    def _climb(self) -> None:
        """Turn the holders found in a pass into the next frontier."""
        edges, self._edges = self._edges, defaultdict(list)
        frontier: dict[int, Node] = {}
        for key, holders in edges.items():
            held = self._frontier[key]
            for holder in holders:
                known = self._nodes.get(id(holder.obj))
                node = known or holder
                held.above.append((node, step(node.obj, held.obj)))
                if known is None:
                    self._nodes[id(node.obj)] = node
                    node.root = self._roots.classify(node.obj)
                    if not node.is_end:
                        frontier[id(node.obj)] = node
        self._frontier = frontier

    def _conclude(self) -> list[Outcome]:
        complete = not self._frontier and not self._ended_early
        return [self._outcome(site, complete) for site in self._sites]

    def _outcome(self, site: _Site, complete: bool) -> Outcome:
        if not site.samples:
            return Outcome("", (), (NO_OBJECTS if self._finding is None else ENDED_EARLY,))
        chains = [chain_to(sample, complete, site.thread) for sample in site.samples]
        held = sum(chain.root.kind not in ("unknown", "C") for chain in chains)
        reasons = [
            f"{held} of {len(chains)} sampled objects are reachable from what Python code keeps"
            f" ({self._depth} walks over {self._heap:,} objects, {self.cpu:.2f} s in {self._slices} slices)"
        ]
        first = site.samples[0].obj
        if type(first) in REUSED and sys.getsizeof(first) <= REUSED_SIZE:
            reasons.append(HANDED_ON.format(type(first).__name__))
        if held < len(chains) and not complete:
            reasons.append(ENDED_EARLY)
        elif any(chain.root.kind == "unknown" for chain in chains):
            reasons.append("objects that only a reference cycle holds go at the next full garbage collection")
        cycles = _cycles(site.samples, chains) if complete else ()
        for cycle in dict.fromkeys(cycles):
            reasons.append(f"the cycle: {cycle.path}. {cycle.change}")
        return Outcome(site.type, tuple(merge(chains)), tuple(reasons), cycles)


def _cycles(samples: Sequence[Node], chains: Sequence[Chain]) -> tuple[Cycle, ...]:
    """The cycles of those samples that nothing else holds."""
    alone = [s for s, c in zip(samples, chains, strict=True) if c.root.kind == "unknown"]
    return tuple(cycle for cycle in map(cycle_above, alone) if cycle is not None)


def _choose(objects: Sequence[object]) -> tuple[str, list[object]]:
    """The type that tells most, and some objects of it: the service's own classes before built-in ones,
    and those before the containers that hold them."""
    groups: dict[int, list[object]] = defaultdict(list)
    for obj in {id(o): o for o in objects}.values():
        groups[id(type(obj))].append(obj)
    kinds = list(groups.values())
    own = [group for group in kinds if "." in type_name(type(group[0]))]
    contents = [group for group in kinds if type(group[0]) not in CONTAINERS]
    # A tenth is enough: with each object of a class come the containers and strings that it is made of.
    telling = next((some for some in (own, contents) if _size(some) * 10 >= _size(kinds) > 0), kinds)
    chosen = max(telling, key=len, default=[])
    stride = max(1, len(chosen) // MAX_SAMPLES)
    return describe(chosen), chosen[::stride][:MAX_SAMPLES]


def _size(groups: Sequence[Sequence[object]]) -> int:
    return sum(map(len, groups))
