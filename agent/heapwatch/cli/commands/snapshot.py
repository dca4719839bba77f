"""`heapwatch snapshot PID`: the heap now, as a pprof file."""

from __future__ import annotations

import argparse
import base64
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from heapwatch_wire import pprof

from heapwatch.cli.options import Failure, add_common, add_pid, client, print_json
from heapwatch.cli.units import size

HELP = "write a heap profile in pprof format"


def configure(parser: argparse.ArgumentParser) -> None:
    add_pid(parser)
    parser.add_argument(
        "-o", "--output", default="", metavar="FILE", help="file to write (default: heap-PID.pb.gz)"
    )
    add_common(
        parser,
        "  heapwatch snapshot 4711 -o heap.pb.gz\n  go tool pprof -http=: heap.pb.gz\n",
    )


def run(args: argparse.Namespace) -> int:
    asking = client(args)
    pids = asking.family(args.pid)
    profiles = {pid: base64.b64decode(asking.call(pid, "snapshot")["pprof"]) for pid in pids}
    data = next(iter(profiles.values())) if len(profiles) == 1 else merge(profiles)
    path = Path(args.output or f"heap-{args.pid}.pb.gz")
    try:
        path.write_bytes(data)
    except OSError as error:
        raise Failure(f"{path} can't be written: {error.strerror}", "name another file with -o") from None
    if args.json:
        print_json({"file": str(path), "bytes": len(data), "processes": pids})
    else:
        print(
            f"{path}: {size(len(data))}, process{'es' if len(pids) > 1 else ''} {', '.join(map(str, pids))}"
        )
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
