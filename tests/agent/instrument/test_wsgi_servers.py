"""Flask under gunicorn with threads and with gevent: requests that run side by side are told apart."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Served

pytest.importorskip("flask")
pytest.importorskip("sqlalchemy")
pytestmark = pytest.mark.integration

FLASK = """
import time
from flask import Flask, render_template_string
from sqlalchemy import create_engine, text
from sqlalchemy.pool import StaticPool
from tell import counted

app = Flask(__name__)
engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
kept = []

def keep(count):
    for _ in range(10):
        kept.append([bytes(1000) for _ in range(count)])
        time.sleep(0.001)

@app.get("/small/<int:number>")
def small(number):
    keep(20)
    return str(number)

@app.get("/large/<int:number>")
def large(number):
    keep(80)
    return str(number)

def comments_of(connection, post):
    return connection.execute(text("SELECT :post"), {"post": post}).scalar()

@app.get("/page/<int:posts>")
def page(posts):
    with engine.connect() as connection:
        rows = [comments_of(connection, post) for post in range(posts)]
    return render_template_string("{% for row in rows %}<p>{{ row }}</p>{% endfor %}", rows=rows * 100)

@app.get("/counted")
def tell():
    return counted()
"""


@pytest.mark.parametrize("worker", ["gthread", "gevent"])
def test_requests_side_by_side_are_told_apart(
    gunicorn: Callable[..., Served], wait_until: Callable[..., Any], worker: str
) -> None:
    if worker == "gevent":
        pytest.importorskip("gevent")
    served = gunicorn(FLASK, "-k", worker, *(["--threads", "4"] if worker == "gthread" else []))
    paths = [f"/{size}/{number}" for number in range(20) for size in ("small", "large")]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(served.get, paths))
    # A client has its answer before the server is done with the request; the one that asks runs, too.
    told = wait_until(lambda: (found := served.counted())["running"] == 1 and found)
    small, large = (told["endpoints"][f"GET /{size}/<int:number>"] for size in ("small", "large"))
    assert small["outcomes"] == large["outcomes"] == {"200": 20}
    assert large["allocated"] - small["allocated"] == pytest.approx(10 * 60 * 1033, rel=0.15)
    live = [told["live"][f"GET /{size}/<int:number>"] for size in ("small", "large")]
    assert live == pytest.approx([20 * 10 * 20 * 1033, 20 * 10 * 80 * 1033], rel=0.15)
    # Other greenlets run on the same thread meanwhile, so nobody knows whose CPU time it is.
    assert small["cpu_known"] == (0 if worker == "gevent" else 20)


def test_statements_and_templates_of_a_page(
    gunicorn: Callable[..., Served], heapwatch: list[str], tmp_path: Path
) -> None:
    served = gunicorn(FLASK)
    for posts in (2, 20):
        served.get(f"/page/{posts}")
    page = served.endpoints()["GET /page/<int:posts>"]
    assert page["queries"] == 11
    assert page["repeated"] == 19
    [(statement, (requests, most, line))] = page["repeats"].items()
    assert (statement, requests, most) == ("SELECT ?", 1, 20)
    assert line.startswith("comments_of (")
    command = [*heapwatch, "requests", str(served.child.pid), "--sort", "statements"]
    place = {**os.environ, "HEAPWATCH_RUNTIME_DIR": str(tmp_path / "run")}
    shown = subprocess.run(command, env=place, check=True, capture_output=True, text=True).stdout
    assert shown.splitlines()[1].startswith("GET /page/<int:posts>")
    assert "GET /page/<int:posts>: up to 20 times, by comments_of (" in shown
    assert 0 < page["query_seconds"] < 2 * page["seconds"]
    assert 0 < page["template_seconds"] < 2 * page["seconds"]


FACTORY = """
from flask import Flask
from heapwatch import status
from heapwatch.flask import Heapwatch
from tell import counted

extension = Heapwatch(enabled=True)
kept = []

def create_app():
    app = Flask(__name__)
    app.config["HEAPWATCH_SERVICE"] = "factory"
    extension.init_app(app)
    extension.init_app(app)

    @app.get("/keep/<name>")
    def keep(name):
        kept.append([bytes(1000) for _ in range(1000)])
        return status()["service"]

    app.add_url_rule("/counted", view_func=counted)
    return app
"""


def test_the_extension_starts_the_agent_and_measures_an_application_once(
    serve: Callable[..., Served],
) -> None:
    pytest.importorskip("gunicorn")
    command = ("gunicorn", "shop:create_app()", "-b", "127.0.0.1:{port}")
    served = serve(FACTORY, *command, HEAPWATCH_ENABLED="off", HEAPWATCH_INSTRUMENT="off")
    assert served.get("/keep/a") == b"factory"
    first = served.endpoints()["GET /keep/<name>"]  # which also imports what it needs
    served.get("/keep/b")
    both = served.endpoints()["GET /keep/<name>"]
    assert both["outcomes"] == {"200": 2}
    assert 2 * both["retained"] - first["retained"] == pytest.approx(1_033_000, rel=0.2)
