"""Whether a verdict names the fault that was switched on, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from heapwatch_wire.evidence import Evidence

from heapwatch_app.faults import Fault


def mistakes(fault: Fault, leaks: Sequence[Evidence]) -> list[str]:
    """What is wrong with `leaks` when `fault` was on, in words; empty when the verdict is right."""
    if not leaks:
        return ["no leak was found"]
    own = [leak for leak in leaks if _names(fault, leak)]
    others = [leak for leak in leaks if not _names(fault, leak)]
    wrong = [f"{leak.site.function} ({leak.site.file}:{leak.site.line}) is no leak" for leak in others]
    if not own:
        return [*wrong, f"{fault.function} in {fault.file} is not among the leaks"]
    return wrong + _missing(fault, own[0])


def _names(fault: Fault, leak: Evidence) -> bool:
    frames = [(leak.site.function, leak.site.file, leak.site.line)]
    if leak.site.caller is not None:
        frames.append((leak.site.caller.function, leak.site.caller.file, leak.site.caller.line))
    return any(
        file.endswith(fault.file) and function.endswith(fault.function) and line in fault.lines()
        for function, file, line in frames
    )


def _missing(fault: Fault, leak: Evidence) -> list[str]:
    wrong = []
    if fault.type not in leak.type:
        wrong.append(f"type is {leak.type!r}, not {fault.type!r}")
    if not any(fault.holder in holder.path for holder in leak.holders):
        paths = ", ".join(holder.path for holder in leak.holders) or "none"
        wrong.append(f"no holder goes through {fault.holder} (found: {paths})")
    if (leak.endpoints and leak.endpoints[0].name not in fault.endpoints) or not leak.endpoints:
        names = ", ".join(share.name for share in leak.endpoints) or "none"
        wrong.append(f"endpoint is {names}, not {' or '.join(fault.endpoints)}")
    if not leak.growth.low > 0:
        wrong.append("growth is not told from zero")
    if leak.forecast is None:
        wrong.append("no forecast to the limit")
    if leak.recommendation is None:
        wrong.append("no recommendation")
    return wrong
