"""`heapwatch snapshot PID`: the heap now or at its peak, as pprof or in a format of `heapwatch report`."""

from __future__ import annotations

import argparse
import base64
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from heapwatch_wire import pprof
from heapwatch_wire.shapes import print_json

from heapwatch.cli.files import decode, write_file
from heapwatch.cli.options import add_common, add_pid, client
from heapwatch.cli.units import size
from heapwatch.report.formats import SUFFIXES, WRITERS, by_name
from heapwatch.report.kinds import choose

HELP = "write a heap profile: pprof, or a flame graph, table, folded stacks by the file's ending"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        default="",
        metavar="FILE",
        help=f"file to write (default: heap-PID.pb.gz); pprof, unless the name ends in {SUFFIXES}",
    )
    parser.add_argument(
        "--peak",
        action="store_true",
        help="what lived when most did since the process was started, instead of now",
    )
    add_pid(parser)
    add_common(
        parser,
        "  heapwatch snapshot 4711 -o heap.pb.gz\n"
        "  heapwatch snapshot 4711 -o heap.html\n"
        "  heapwatch snapshot 4711 --peak -o peak.pb.gz\n"
        "  go tool pprof -http=: heap.pb.gz\n",
    )


def run(args: argparse.Namespace) -> int:
    answers = client(args).call_family(args.pid, "snapshot", peak=args.peak)
    profiles = {pid: base64.b64decode(answer["pprof"]) for pid, answer in answers.items()}
    pids = list(profiles)
    data = next(iter(profiles.values())) if len(profiles) == 1 else merge(profiles)
    file = args.output or f"heap-{args.pid}.pb.gz"
    written = write_file(file, _content(data, file, pids))
    if args.json:
        print_json({"file": file, "bytes": written, "processes": pids})
    else:
        print(f"{file}: {size(written)}, {_processes(pids)}")
    return 0


def merge(profiles: Mapping[int, bytes]) -> bytes:
    """One profile of several processes, each sample labelled with its `pid`."""
    decoded = {pid: pprof.decode(data) for pid, data in profiles.items()}
    samples = [
        sample._replace(labels=(*sample.labels, ("pid", str(pid))))
        for pid, profile in decoded.items()
        for sample in profile.samples
    ]
    return pprof.encode(replace(next(iter(decoded.values())), samples=samples))


def _content(data: bytes, file: str, pids: list[int]) -> str | bytes:
    form = by_name(file)
    if form is None:
        return data
    profile = decode(data, "the snapshot")
    return WRITERS[form](profile, choose(profile), f"{Path(file).name}: {_processes(pids)}")


def _processes(pids: list[int]) -> str:
    return f"process{'es' if len(pids) > 1 else ''} {', '.join(map(str, pids))}"
