"""One workload under one tool, in this process: what benchmarks.overhead starts as a child.

    python -m benchmarks.workloads flask --tool heapwatch-64k --units 20

Prints one JSON object: CPU seconds of the units (after a warm-up) and the peak resident bytes.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import io
import json
import resource
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.children import mark
from benchmarks.tools import TOOLS

Unit = Callable[[], object]


def json_unit() -> Unit:
    """Many small objects: parse and write a document of 2,000 records."""
    record = {
        "id": 1,
        "name": "user",
        "tags": ["a", "b", "c"],
        "nested": {"x": 1.5, "y": None, "z": [1, 2, 3]},
    }
    text = json.dumps([{**record, "id": i, "name": f"user {i}"} for i in range(2000)])
    return lambda: json.dumps(json.loads(text))


def flask_unit(compiled_once: bool = False) -> Unit:
    """A request through Flask's test client: a Jinja page of 100 rows, whose template is compiled each time.

    `compiled_once`: as a service does that keeps its templates in files.
    """
    flask = importlib.import_module("flask")
    app = flask.Flask("benchmark")
    page = (
        "<table>{% for row in rows %}<tr><td>{{ row.id }}</td><td>{{ row.name|upper }}</td>"
        "<td>{{ '%.2f'|format(row.price) }}</td></tr>{% endfor %}</table>"
    )

    def index() -> Any:
        rows = [{"id": i, "name": f"item {i}", "price": i * 1.25} for i in range(100)]
        return (
            flask.render_template(kept, rows=rows) if kept else flask.render_template_string(page, rows=rows)
        )

    kept = app.jinja_env.from_string(page) if compiled_once else None
    app.add_url_rule("/", view_func=index)
    client = app.test_client()
    return lambda: [client.get("/").data for _ in range(5)]


def orm_unit() -> Unit:
    """SQLAlchemy loads 1,000 rows as objects from SQLite."""
    sqlalchemy = importlib.import_module("sqlalchemy")
    orm = importlib.import_module("sqlalchemy.orm")
    base = orm.declarative_base()

    class Item(base):  # type: ignore[misc, valid-type]
        __tablename__ = "item"
        id = sqlalchemy.Column(sqlalchemy.Integer, primary_key=True)
        name = sqlalchemy.Column(sqlalchemy.String)
        price = sqlalchemy.Column(sqlalchemy.Float)

    engine = sqlalchemy.create_engine(
        "sqlite://", poolclass=importlib.import_module("sqlalchemy.pool").StaticPool
    )
    base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add_all([Item(name=f"item {i}", price=i * 1.25) for i in range(1000)])
        session.commit()

    def unit() -> int:
        with orm.Session(engine) as session:
            return len([item.name for item in session.query(Item)])

    return unit


def buf_unit() -> Unit:
    """Large buffers: a picture resized and encoded by Pillow, bytes joined."""
    image = importlib.import_module("PIL.Image")
    picture = image.effect_noise((800, 600), 50).convert("RGB")

    def unit() -> int:
        small = picture.resize((400, 300))
        out = io.BytesIO()
        small.save(out, "PNG", compress_level=1)
        return len(b"".join(out.getvalue()[i : i + 4096] for i in range(0, out.tell(), 4096)))

    return unit


def numpy_unit() -> Unit:
    """Temporaries of array arithmetic: vectors of 8 KiB and 1 MiB, a few hundred operations."""
    numpy = importlib.import_module("numpy")
    small, large = numpy.linspace(0, 1, 1 << 10), numpy.linspace(0, 1, 1 << 17)

    def unit() -> float:
        total = 0.0
        for _ in range(60):
            total += float((small * 2 + small**2 - numpy.sqrt(small)).sum())
        return total + float((large * 2 + large**2 - numpy.sqrt(large)).sum())

    return unit


def threads_unit() -> Unit:
    """Four threads that all make small objects."""

    def work() -> None:
        for _ in range(20):
            {str(i): [i, float(i)] for i in range(500)}

    def unit() -> None:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return unit


WORKLOADS: dict[str, Callable[[], Unit]] = {
    "json": json_unit,
    "flask": flask_unit,
    "flask-files": lambda: flask_unit(compiled_once=True),
    "orm": orm_unit,
    "buf": buf_unit,
    "threads": threads_unit,
    "numpy": numpy_unit,
}


def measure(unit: Unit, units: int) -> dict[str, float]:
    """CPU seconds and page faults of so many units."""
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    begin = time.process_time()
    for _ in range(units):
        unit()
    seconds = time.process_time() - begin
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    return {"seconds": seconds, "faults": faults}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workload", choices=sorted(WORKLOADS))
    parser.add_argument("--tool", choices=sorted(TOOLS), default="none", help="what observes the workload")
    parser.add_argument("--units", type=int, default=20, help="units of work that are measured")
    parser.add_argument("--served", action="store_true", help="measure as many as each line of stdin says")
    parser.add_argument("--warmup", type=int, default=2, help="units of work before that")
    args = parser.parse_args()
    unit = WORKLOADS[args.workload]()
    TOOLS[args.tool][1]()
    for _ in range(args.warmup):
        unit()
    gc.freeze()  # or the modules that a tool imports would be measured as longer collections
    for line in sys.stdin if args.served else ():
        print(json.dumps(measure(unit, int(line))), flush=True)
    if args.served:
        return 0
    mark()
    found = measure(unit, args.units)
    mark()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({**found, "peak": peak}))
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
