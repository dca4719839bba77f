"""The OpenAPI document and the routes are the same set, and its schemas are those of the documents."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import cast

import pytest
from flask import Flask
from heapwatch_collector.context import Collector
from heapwatch_collector.live import Live
from heapwatch_collector.openapi import document
from heapwatch_collector.store.engine import Store
from heapwatch_collector.store.writer import Writer
from heapwatch_collector.telemetry import Telemetry
from heapwatch_collector.web_app import create_app
from heapwatch_wire.settings import CollectorSettings

PAGE_FILES = {"/", "/assets/<path:name>"}


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    """The routes; without a store, since none is called."""
    nothing = cast(Store, None), cast(Writer, None)
    return create_app(Collector(CollectorSettings(), *nothing, Live(), Telemetry()), dist=tmp_path)


def test_every_route_is_documented_and_the_reverse(app: Flask) -> None:
    routes = {
        (method.lower(), re.sub(r"<(?:path:)?(\w+)>", r"{\1}", str(rule)))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if str(rule) not in PAGE_FILES
    }
    documented = {(method, path) for path, methods in document()["paths"].items() for method in methods}
    assert documented == routes


def test_every_reference_leads_somewhere() -> None:
    found = document()
    text = json.dumps(found)
    schemas = found["components"]["schemas"]
    references = {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert references <= set(schemas)
    assert {"Evidence", "Analysis", "Site", "Holder", "Forecast"} <= references | set(schemas)
    assert schemas["Evidence"]["properties"]["verdict"] == {"enum": ["leak", "suspicion"]}
    assert "site" in schemas["Evidence"]["required"]


def test_it_is_served(app: Flask) -> None:
    assert app.test_client().get("/api/v1/openapi.json").get_json() == document()


def test_a_page_that_is_not_built_says_how_to(app: Flask, tmp_path: Path) -> None:
    def get(path: str) -> tuple[int, bytes, str | None]:
        with app.test_client().get(path) as answer:
            return answer.status_code, answer.data, answer.headers.get("Cache-Control")

    assert b"make page" in get("/")[1]
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<title>built</title>", encoding="utf-8")
    (tmp_path / "assets" / "x.js").write_text("1", encoding="utf-8")
    assert get("/") == (200, b"<title>built</title>", "no-cache")
    assert get("/assets/x.js")[:2] == (200, b"1")
    assert get("/assets/../index.html")[0] == 404
    assert get("/assets/none.js")[0] == 404
