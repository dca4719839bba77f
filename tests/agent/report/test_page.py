"""The flame graph files in a browser, opened from disk as people do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from heapwatch_wire.pprof import Profile

pytestmark = pytest.mark.integration


@pytest.fixture
def show(browse: Callable[..., Any], tmp_path: Path, call: Any) -> Iterator[Any]:
    """show(command, *files) -> the page that the command writes; no request but the file's, no error."""
    page = browse(viewport={"width": 1000, "height": 700}).new_page()
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text))

    def open_page(*arguments: str) -> Any:
        path = tmp_path / "page.html"
        assert call(*arguments, "-o", str(path))[0] == 0
        page.goto(path.as_uri())
        return page

    yield open_page
    assert len(requests) == 1
    assert errors == []
    page.close()


def test_keys_walk_and_zoom(profile: Profile, save: Any, show: Any) -> None:
    page = show("report", save(profile))
    page.focus("#graph")
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    details = page.inner_text("#details")
    assert "Session.query" in details
    assert "orm/session.py:7" in details
    assert "4.00 MiB, 66.7% of all" in details
    page.keyboard.press("ArrowRight")
    assert "decode" in page.inner_text("#details")
    page.keyboard.press("Enter")
    assert page.is_enabled("#reset")
    page.keyboard.press("Escape")
    assert page.is_disabled("#reset")


def test_the_pointer_names_and_zooms(profile: Profile, save: Any, show: Any) -> None:
    page = show("report", save(profile))
    page.hover("#graph", position={"x": 100, "y": 3 * 20 + 10})
    assert "Session.query" in page.inner_text("#details")
    page.click("#graph", position={"x": 100, "y": 3 * 20 + 10})
    page.hover("#graph", position={"x": 900, "y": 3 * 20 + 10})
    assert "Session.query" in page.inner_text("#details")


def test_search_and_sample_type(profile: Profile, save: Any, show: Any) -> None:
    page = show("report", save(profile))
    page.keyboard.press("/")
    page.keyboard.type("SESSION")
    assert "66.7% (4.00 MiB) match" in page.inner_text("#summary")
    page.select_option("#type", label="alloc_space")
    assert "alloc_space: 11.0 MiB" in page.inner_text("#summary")
    assert "72.7% (8.00 MiB) match" in page.inner_text("#summary")
    page.click("#lines summary")
    assert "8.00 MiB\t72.7%\tSession.query" in page.inner_text("#rows")


def test_hostile_names_stay_text(hostile: Profile, save: Any, show: Any) -> None:
    page = show("report", save(hostile))
    page.click("#lines summary")
    assert "<img src=x" in page.inner_text("#rows")
    page.focus("#graph")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0


def test_themes_differ(profile: Profile, save: Any, show: Any) -> None:
    page = show("report", save(profile))
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.click("#theme")
    assert page.evaluate(colour) != light


def test_a_comparison_shows_both_sides(profile: Profile, grown: Profile, save: Any, show: Any) -> None:
    page = show("diff", save(profile, "a.pb.gz"), save(grown, "b.pb.gz"))
    assert "6.00 MiB → 8.00 MiB (+2.00 MiB)" in page.inner_text("#summary")
    page.click("#lines summary")
    first = page.inner_text("#rows").splitlines()[0]
    assert first.startswith("+3.00 MiB\t1.00 MiB\t4.00 MiB\tdecode")
