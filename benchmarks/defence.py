"""What the defence is worth: HAProxy before two servers, one of which leaks under a memory limit of its own.

    python -m benchmarks.defence [--seconds 60] [--mode off --mode act] [--worker sync|gthread] [--record]

Each server is a gunicorn with one worker. The leaking one is in a memory cgroup whose limit the kernel
enforces, with "off" as with "act". HAProxy checks the health of both, and with "act" asks both for their
headroom (agent-check). It tries a request again that was refused, not one whose server went away amid it.
Clients ask again as soon as they have their answer. A failed request is one that isn't answered with 200, as
the clients see it, behind HAProxy.

Needs haproxy, and root or a delegated memory controller for the cgroup.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heapwatch.cli.commands.run import BOOTSTRAP

from benchmarks.cgroups import MemoryCgroup, NoCgroup, memory_cgroup
from benchmarks.results import Result, Table, record, show
from benchmarks.servers import free_ports, stop, wait_for

APP = Path(__file__).with_name("defence_app.py")
HAPROXY = shutil.which("haproxy", path=os.pathsep.join([*os.get_exec_path(), "/usr/sbin"]))
MODES = ("off", "act")
IMPOSSIBLE = 77
BOOT = 240.0
GRACE = 2.0
BALANCER = """\
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout check 10s
  retries 3
  option redispatch 1
  retry-on conn-failure 503
frontend shop
  bind 127.0.0.1:{port}
  default_backend workers
backend workers
  balance roundrobin
  option httpchk GET /health
  default-server check inter 500ms fall 3 rise 1 weight 100{agent}
  server leaking 127.0.0.1:{leaking}{leaking_check}
  server healthy 127.0.0.1:{healthy}{healthy_check}
"""


@dataclass
class Outcome:
    """Of one mode. `answers` by status or error, `shares` of requests and `workers` by server. `kills` as the
    kernel counts them, `left` workers that took leave; `peak` bytes in use."""

    mode: str
    seconds: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    shares: Counter[str] = field(default_factory=Counter)
    workers: dict[str, set[str]] = field(default_factory=dict)
    kills: int = 0
    left: int = 0
    peak: int = 0

    @property
    def failed(self) -> int:
        """Requests without their answer."""
        return self.answers.total() - self.answers["200"]

    def to_json(self) -> dict[str, Any]:
        """Values of JSON."""
        return {
            "mode": self.mode,
            "seconds": round(self.seconds, 1),
            "answers": dict(self.answers),
            "failed": self.failed,
            "shares": dict(self.shares),
            "workers": {name: len(pids) for name, pids in self.workers.items()},
            "kills": self.kills,
            "left": self.left,
            "peak": self.peak,
        }


class Clients:
    """Ask `port` for pages from `count` threads until `stop`; all that comes of it goes to `outcome`."""

    def __init__(self, port: int, outcome: Outcome, count: int, rest: float) -> None:
        self._port, self._outcome, self._rest = port, outcome, rest
        self._halt, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """After the answers that are still due."""
        self._halt.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._halt.wait(self._rest):
            try:
                status, body = get(self._port, "/page")
            except (OSError, http.client.HTTPException) as error:
                status, body = type(error).__name__, ""
            with self._lock:
                self._outcome.answers[status] += 1
                if status == "200":
                    name, pid = body.split()
                    self._outcome.shares[name] += 1
                    self._outcome.workers.setdefault(name, set()).add(pid)


def get(port: int, path: str) -> tuple[str, str]:
    """Status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return str(answer.status), answer.read().decode()
    finally:
        connection.close()


def answers(port: int) -> bool:
    """Whether a server answers there."""
    try:
        return get(port, "/health")[0] == "200"
    except (OSError, http.client.HTTPException):
        return False


@contextmanager
def running(command: list[str], log: Path, **environment: str) -> Iterator[None]:
    """A program; ended with all its children."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield
    finally:
        stop(process)


def gunicorn(port: int, worker: str) -> list[str]:
    """A command: one worker that listens on `port`."""
    command = [sys.executable, "-m", "gunicorn", f"{APP.stem}:application", "--chdir", str(APP.parent)]
    threads = ["--threads", "4"] if worker == "gthread" else []
    return [*command, "-b", f"127.0.0.1:{port}", "-w", "1", "-t", "120", "-k", worker, *threads]


def environment(name: str, leak: int, mode: str, check: int, folder: Path) -> dict[str, str]:
    """Of the server `name`, each request of which leaks so many bytes."""
    path = [str(BOOTSTRAP), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "NAME": name,
        "LEAK": str(leak),
        "PYTHONPATH": os.pathsep.join(path),
        "HEAPWATCH_SERVICE": "shop",
        "HEAPWATCH_RUNTIME_DIR": str(folder / "run"),
        "HEAPWATCH_DEFENCE": mode,
        "HEAPWATCH_DEFENCE_GRACE": str(GRACE),
        "HEAPWATCH_AGENT_CHECK": f"127.0.0.1:{check}",
    }


def measure(mode: str, args: argparse.Namespace, folder: Path) -> Outcome:
    """Serve for `args.seconds`, or until one worker was replaced where `args.once`."""
    outcome = Outcome(mode)
    port, *ports = free_ports(5)
    ports, checks = ports[:2], ports[2:]
    with ExitStack() as stack:
        group = stack.enter_context(memory_cgroup(f"heapwatch-{os.getpid()}-{mode}", args.limit << 20))
        leaking, healthy = (gunicorn(own, args.worker) for own in ports)
        harmed = environment("leaking", args.leak << 10, mode, checks[0], folder)
        stack.enter_context(running(group.command(leaking), folder / f"{mode}-leaking.log", **harmed))
        unharmed = environment("healthy", 0, mode, checks[1], folder)
        stack.enter_context(running(healthy, folder / f"{mode}-healthy.log", **unharmed))
        wait_for(lambda: all(map(answers, ports)), BOOT, f"the servers, whose logs are in {folder}")
        write_configuration(folder / f"{mode}.cfg", port, ports, checks if mode != "off" else [])
        haproxy = [str(HAPROXY), "-db", "-f", str(folder / f"{mode}.cfg")]
        stack.enter_context(running(haproxy, folder / f"{mode}-haproxy.log"))
        wait_for(lambda: answers(port), BOOT, "HAProxy")
        watch(outcome, group, port, args)
    log = (folder / f"{mode}-leaking.log").read_text()
    outcome.left = log.count("Booting worker") - 1 - outcome.kills
    return outcome


def write_configuration(path: Path, port: int, ports: list[int], checks: list[int]) -> None:
    """HAProxy's; with agent-checks where there are ports for them."""
    agent = " agent-check agent-inter 300ms" if checks else ""
    leaking_check, healthy_check = (f" agent-port {check}" for check in checks) if checks else ("", "")
    path.write_text(
        BALANCER.format(
            port=port,
            leaking=ports[0],
            healthy=ports[1],
            agent=agent,
            leaking_check=leaking_check,
            healthy_check=healthy_check,
        )
    )


def watch(outcome: Outcome, group: MemoryCgroup, port: int, args: argparse.Namespace) -> None:
    """Put load on and look at the cgroup meanwhile."""
    clients = Clients(port, outcome, args.clients, args.rest)
    began = time.monotonic()
    try:
        while (passed := time.monotonic() - began) < args.seconds:
            time.sleep(0.1)
            outcome.peak = max(outcome.peak, group.usage())
            if args.once and len(outcome.workers.get("leaking", ())) > 1:
                break
    finally:
        clients.stop()
    outcome.seconds = passed
    outcome.kills = group.kills()


def table(outcomes: list[Outcome], limit: int) -> Table:
    """As it is recorded."""
    rows: list[tuple[str, Callable[[Outcome], str]]] = [
        ("requests", lambda o: f"{o.answers.total():,}"),
        ("failed requests", lambda o: f"{o.failed:,}"),
        ("workers killed by the kernel", lambda o: str(o.kills)),
        ("workers that took leave in time", lambda o: str(o.left)),
        ("most memory in use", lambda o: f"{o.peak / (1 << 20):.0f} of {limit} MiB"),
    ]
    columns = {"off": "without defence", "act": "with defence", "observe": "observed only"}
    return Table(
        "One of two servers leaks under a memory limit, behind HAProxy",
        ["", *(columns[outcome.mode] for outcome in outcomes)],
        [[name, *(tell(outcome) for outcome in outcomes)] for name, tell in rows],
        "A worker that was killed or has left is replaced by gunicorn in both cases; the leak begins anew.",
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--mode", action="append", choices=("off", "observe", "act"), help="default: off, then act"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="longest time of load for each mode")
    parser.add_argument("--once", action="store_true", help="end a mode when a worker was replaced once")
    parser.add_argument("--worker", choices=("sync", "gthread"), default="sync", help="worker class")
    parser.add_argument("--limit", type=int, default=192, help="limit of the leaking server, MiB")
    parser.add_argument("--leak", type=int, default=256, help="bytes that a request leaks, KiB")
    parser.add_argument("--clients", type=int, default=4, help="clients that ask at once")
    parser.add_argument("--rest", type=float, default=0.01, help="seconds between a client's requests")
    parser.add_argument("--json", action="store_true", help="print the outcomes as JSON instead of a table")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/defence.json")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    if HAPROXY is None:
        print("needs haproxy: apt-get install haproxy", file=sys.stderr)
        return IMPOSSIBLE
    try:
        with tempfile.TemporaryDirectory() as folder:
            outcomes = [measure(mode, args, Path(folder)) for mode in args.mode or MODES]
    except NoCgroup as error:
        print(error, file=sys.stderr)
        return IMPOSSIBLE
    found = [outcome.to_json() for outcome in outcomes]
    if args.json:
        print(json.dumps(found))
        return 0
    assert __doc__ is not None
    shown = table(outcomes, args.limit)
    if args.record:
        command = f"python -m benchmarks.defence --seconds {args.seconds:g}"
        record(Result("defence", 70, "Defence", __doc__.split("\n\n")[2], command, [shown], found))
    else:
        show(shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
