"""How long a process stands still while `heapwatch attach` starts the agent in it.

    python -m benchmarks.attach

The main thread of the target notes what each of its turns takes: of the processor time of the whole process,
so that other processes of a busy machine don't count. "alone" is the longest of two seconds before, "during"
the longest while the command runs. "held" is how long the thread was stopped that starts ours, by the clock.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile

from benchmarks.results import Result, Table, record

TARGET = """
import json, sys, threading, time
def busy():
    while True:
        [str(number) for number in range(100)]
for _ in range({threads}):
    threading.Thread(target=busy, daemon=True).start()
def turns(seconds):
    longest, last = 0.0, time.process_time()
    end = time.monotonic() + seconds
    while time.monotonic() < end and not heard:
        {turn}
        now = time.process_time()
        longest, last = max(longest, now - last), now
    return longest
heard = []
threading.Thread(target=lambda: heard.append(sys.stdin.readline()), daemon=True).start()
alone = turns(2.0)
print("ready", flush=True)
print(json.dumps([alone, turns(60.0)]), flush=True)
"""
TARGETS = {
    "asleep": (0, "time.sleep(0.001)"),
    "busy": (0, "sum(range(100))"),
    "busy in 4 threads": (3, "sum(range(100))"),
}


def measure(threads: int, turn: str) -> dict[str, float]:
    """Seconds: the longest turn alone and during the attachment, and how long a thread was held."""
    program = TARGET.format(threads=threads, turn=turn)
    command = [sys.executable, "-m", "heapwatch", "attach", "--json", "--timeout", "60"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as target,
    ):
        assert target.stdin is not None
        assert target.stdout is not None
        target.stdout.readline()
        done = subprocess.run(
            [*command, "--runtime-dir", folder, str(target.pid)], capture_output=True, text=True, check=True
        )
        target.stdin.write("\n")
        target.stdin.flush()
        alone, during = json.loads(target.stdout.readline())
        target.terminate()
    return {"alone": alone, "during": during, "held": json.loads(done.stdout)[str(target.pid)]["held"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="attachments to each target (default: 7)")
    rounds = parser.parse_args().rounds
    data = {name: [measure(*target) for _ in range(rounds)] for name, target in TARGETS.items()}
    rows = []
    for name, runs in data.items():
        medians = (statistics.median(run[key] for run in runs) for key in ("held", "alone", "during"))
        rows.append([name, *(f"{median * 1e3:.1f}" for median in medians)])
    columns = ["target", "held, ms", "longest turn alone, CPU ms", "longest turn during, CPU ms"]
    record(
        Result(
            name="attach",
            order=45,
            title="Attaching to a running process",
            about=f"`heapwatch attach` of {rounds} fresh processes of each kind; medians. A turn of the"
            " target's main thread is a millisecond of sleep, or microseconds of work; its length is what the"
            " whole process used of the processor meanwhile. Held is by the clock: the load counts.",
            command="python -m benchmarks.attach",
            tables=[Table("Pauses of the target", columns, rows)],
            data=data,
        )
    )


if __name__ == "__main__":
    main()
