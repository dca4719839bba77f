"""What the agent adds to the memory of a process: a bare interpreter, and the reference service under load.

    python -m benchmarks.footprint [--minutes 3] [--rate 20] [--without service]

Private pages (smaps_rollup: what the process alone pays for) at each stage: bare interpreter, `import
heapwatch`, sampler started, whole agent with the collector away and with one that answers. Then the reference
service under gunicorn, three at the same time under the same load: without the agent, with it, and with it
after searches for holders; reported are medians over the last two thirds of the load, and after the searches,
and the difference to the one without. Beside that stands what the agent says of itself, and how far it is
off. The services have one malloc arena: with one for each thread they differ by MiB from each other anyway.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from heapwatch.control.client import Client, ControlError
from heapwatch.memory.mappings import read_mappings

from benchmarks.results import Result, Table, record
from benchmarks.servers import Sink, children, free_port, stop, wait_for

KIB = 1024
START_LIMIT = 120.0
PAUSE = "import time; time.sleep({seconds}); print('ready', flush=True); time.sleep(3600)"
STAGES = {
    "bare interpreter": "",
    "import heapwatch": "import heapwatch",
    "sampler started": "from heapwatch.sampler import open_sampler; sampler = open_sampler(65536, 128)",
    "agent, collector away": "import heapwatch; heapwatch.start('footprint', collector='http://127.0.0.1:9')",
    "agent, collector up": "import heapwatch; heapwatch.start('footprint', collector='{collector}')",
}
SETTLE = {"agent, collector away": 12.0, "agent, collector up": 25.0}
SERVICES = ("without", "agent", "searched")
SEARCHES = 5
STEP = 10.0
PATIENCE = 300.0
"""Seconds for an answer from a busy machine."""
ACCOUNT = ("says of itself", "off by")


def memory(pid: int) -> dict[str, int]:
    """Bytes of a process: private pages, and all resident ones."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    sizes = {name: int(size) * KIB for name, size in re.findall(r"^(\w+): +(\d+) kB", text, re.MULTILINE)}
    return {"private": sizes["Private_Clean"] + sizes["Private_Dirty"], "rss": sizes["Rss"]}


@contextmanager
def collector() -> Iterator[str]:
    """The address of a Sink."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def running(*command: str, env: Mapping[str, str] | None = None, log: Path | None = None) -> Iterator[int]:
    """The pid of a process with its output in `log`; stopped in the end."""
    with (log or Path(os.devnull)).open("ab") as out:
        process = subprocess.Popen(
            command, env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield process.pid
        finally:
            stop(process)


def stage(name: str, address: str, folder: Path) -> dict[str, int]:
    """Memory of an interpreter at a stage."""
    log = folder / "stage.log"
    log.unlink(missing_ok=True)
    env = {**os.environ, "HEAPWATCH_RUNTIME_DIR": str(folder)}
    code = STAGES[name].replace("{collector}", address) + "\n" + PAUSE.format(seconds=SETTLE.get(name, 1.0))
    with running(sys.executable, "-c", code, env=env, log=log) as pid:
        wait_for(lambda: "ready" in log.read_text(), START_LIMIT, f"the stage {name!r}")
        sizes = memory(pid)
        return {**sizes, "reported": reported(pid, folder)} if name in SETTLE else sizes


def reported(pid: int, folder: Path) -> int:
    """What an agent says of itself: tables, padding of sampled blocks, modules and objects, in bytes."""
    status = Client(str(folder), PATIENCE).call(pid, "stats")["agent"]
    sampler = status["sampler"]
    return int(sampler["own_bytes"] + sampler["padding_bytes"] + status["memory"])


@contextmanager
def service(kind: str, address: str, folder: Path, rate: float) -> Iterator[int]:
    """A reference service with two workers and load on it: the pid of gunicorn's main process."""
    folder = folder / kind
    folder.mkdir()
    port = free_port()
    env = {
        **os.environ,
        "HEAPWATCH_APP_DATA": str(folder / "app"),
        "HEAPWATCH_APP_PASSWORD_COST": "10",
        "HEAPWATCH_RUNTIME_DIR": str(folder),
        "HEAPWATCH_COLLECTOR": address,
        "MALLOC_ARENA_MAX": "1",
    }
    heapwatch = (sys.executable, "-m", "heapwatch", "app")
    log = folder / "log"
    subprocess.run([*heapwatch, "seed"], env=env, check=True, stdout=subprocess.DEVNULL)
    agent = "--no-agent" if kind == "without" else "--agent"
    with ExitStack() as stack:
        serve = (*heapwatch, "serve", "--workers", "2", "--port", str(port), agent)
        pid = stack.enter_context(running(*serve, env=env, log=log))
        wait_for(lambda: len(children(pid)) == 2, START_LIMIT, f"the workers of {kind}; {log} says more")
        load = (*heapwatch, "load", "--host", f"http://127.0.0.1:{port}", "--rate", str(rate))
        stack.enter_context(running(*load, env=env, log=folder / "load.log"))
        yield pid


def search_holders(pid: int, folder: Path) -> list[str]:
    """Search what holds the objects of the largest sites of a process; the first sentence of each answer."""
    client = Client(str(folder), PATIENCE)
    sites = client.call(pid, "top", limit=SEARCHES)["sites"]
    found = []
    for site in sites:
        try:
            found.append(client.call(pid, "holders", site=site["id"])["reasons"][0])
        except ControlError as error:
            found.append(str(error))
    return found


def kinds(pid: int) -> dict[str, int]:
    """Private bytes by kind of mapping."""
    return {kind: pages.private for kind, pages in read_mappings(process=str(pid)).items()}


def watch(pids: Mapping[str, list[int]], seconds: float) -> list[dict[str, Any]]:
    """Mean private bytes of the workers of each service, every STEP seconds."""
    began, series = time.monotonic(), []
    while time.monotonic() - began < seconds:
        time.sleep(STEP)
        now = {kind: statistics.mean(memory(p)["private"] for p in group) for kind, group in pids.items()}
        series.append({"seconds": time.monotonic() - began, **now})
        shown = ", ".join(f"{kind} {now[kind] / KIB / KIB:.1f}" for kind in now)
        print(f"{series[-1]['seconds']:6.0f} s  {shown} MiB", flush=True)
    return series


def measure_services(address: str, folder: Path, minutes: float, rate: float) -> dict[str, Any]:
    """All services at the same time, so that they see the same machine."""
    with ExitStack() as stack:
        mains = {kind: stack.enter_context(service(kind, address, folder, rate)) for kind in SERVICES}
        pids = {kind: children(pid) for kind, pid in mains.items()}
        series = watch(pids, minutes * 60)
        settled = {"agent": series[len(series) // 3 :]}
        searches = [search_holders(pid, folder / "searched") for pid in pids["searched"]]
        settled["searched"] = watch(pids, 60)
        told = {
            kind: statistics.mean(reported(pid, folder / kind) for pid in pids[kind]) for kind in SERVICES[1:]
        }
        return {
            "private": {
                kind: statistics.median(point[kind] for point in settled.get(kind, settled["agent"]))
                for kind in SERVICES
            },
            "added": {
                kind: statistics.median(point[kind] - point["without"] for point in points)
                for kind, points in settled.items()
            },
            "by_mapping": {kind: [kinds(pid) for pid in group] for kind, group in pids.items()},
            "reported": told,
            "searches": searches,
            "series": [*series, *settled["searched"]],
        }


def tables(result: Mapping[str, Any]) -> list[Table]:
    """KiB above the bare interpreter, and above the service without the agent."""
    made = []
    stages = result["stages"]
    if stages:
        bare = stages["bare interpreter"]
        rows = [
            [name, *(kib(size) for kind in bare for size in (sizes[kind], sizes[kind] - bare[kind]))]
            for name, sizes in stages.items()
        ]
        for number, sizes in enumerate(stages.values()):
            rows[number] += account(sizes.get("reported", 0), sizes["private"] - bare["private"])
        columns = ["stage", "private", "added", "RSS", "added", *ACCOUNT]
        made.append(Table("An interpreter (KiB)", columns, rows))
    if "services" in result:
        services = result["services"]
        rows = []
        for kind, size in services["private"].items():
            added = services["added"].get(kind, 0)
            rows.append([kind, kib(size), kib(added), *account(services["reported"].get(kind, 0), added)])
        columns = ["service", "private", "added", *ACCOUNT]
        made.append(Table("A worker of the reference service (KiB)", columns, rows))
    return made


def account(reported: float, added: float) -> list[str]:
    """What an agent says of itself, and how far that is from what it adds; nothing without an agent."""
    return [kib(reported), f"{reported / added - 1:+.0%}"] if reported and added else ["", ""]


def kib(size: float) -> str:
    return f"{size / KIB:,.0f}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="length of the load on the services")
    parser.add_argument("--rate", type=float, default=20.0, help="requests per second for each service")
    parser.add_argument("--without", choices=("service", "stages"), help="what to leave out")
    args = parser.parse_args()
    result: dict[str, Any] = {"stages": {}}
    with collector() as address, tempfile.TemporaryDirectory() as name:
        if args.without != "stages":
            result["stages"] = {kind: stage(kind, address, Path(name)) for kind in STAGES}
        if args.without != "service":
            result["services"] = measure_services(address, Path(name), args.minutes, args.rate)
    about = f"Private pages of processes; the services under {args.rate:g} requests per second each."
    command = f"python -m benchmarks.footprint --minutes {args.minutes:g} --rate {args.rate:g}"
    record(Result("footprint", 61, "What the agent adds to memory", about, command, tables(result), result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
