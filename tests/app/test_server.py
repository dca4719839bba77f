"""The service under gunicorn with two workers: load without errors, and a person at a browser."""

from __future__ import annotations

import json
import shutil
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from heapwatch_app.load.pictures import jpeg
from playwright.sync_api import BrowserContext

pytestmark = pytest.mark.integration


@pytest.fixture
def site(
    spawn: Callable[..., Any],
    free_port: Callable[[], int],
    wait_until: Callable[..., Any],
    seeded_folder: Path,
    tmp_path: Path,
) -> tuple[str, dict[str, str], Any]:
    """A running service: its address, the environment of its commands, and its process."""
    data = tmp_path / "data"
    shutil.copytree(seeded_folder, data)
    env = {"HEAPWATCH_APP_DATA": str(data), "HEAPWATCH_APP_PASSWORD_COST": "10"}
    port = free_port()
    server = spawn(*_command("serve", "--no-agent", "--port", str(port)), env=env)
    server.wait_line("Listening at")
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: server.output.count("Booting worker") == 2, what="two workers")
    return url, env, server


def _command(*words: str) -> list[str]:
    code = (
        "import argparse, sys; from heapwatch_app import command; parser = argparse.ArgumentParser();"
        "command.configure(parser); sys.exit(command.run(parser.parse_args()))"
    )
    return [sys.executable, "-c", code, *words]


def test_load_runs_without_an_error_and_tells_its_figures(
    site: tuple[str, dict[str, str], Any],
    spawn: Callable[..., Any],
    wait_until: Callable[..., Any],
    tmp_path: Path,
) -> None:
    url, env, server = site
    stats = tmp_path / "stats.json"
    options = ["--users", "12", "--rate", "50", "--json-stats", str(stats)]
    load = spawn(*_command("load", "--host", url, *options), env=env)

    def told() -> list[dict[str, Any]]:
        lines = stats.read_text().splitlines(keepends=True) if stats.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    wait_until(lambda: sum(second["p50_ms"] > 0 for second in told()) >= 2 or load.process.poll() is not None)
    load.process.terminate()
    assert load.process.wait(240) == 0, load.output
    seconds = told()
    last = seconds[-1]
    assert last["errors"] == 0, last
    assert last["requests"] > 0
    assert 0 < max(second["users"] for second in seconds) <= 12
    assert all(second["p50_ms"] <= second["p95_ms"] for second in seconds)
    assert [second["requests"] for second in seconds] == sorted(second["requests"] for second in seconds)
    assert "Traceback" not in server.output


def test_load_ends_when_its_time_is_over(
    site: tuple[str, dict[str, str], Any], spawn: Callable[..., Any]
) -> None:
    url, env, _ = site
    load = spawn(*_command("load", "--host", url, "--users", "1", "--minutes", "0.01"), env=env)
    assert load.process.wait(240) == 0, load.output


def test_load_on_nothing_ends_with_an_error(
    spawn: Callable[..., Any], free_port: Callable[[], int], wait_until: Callable[..., Any], tmp_path: Path
) -> None:
    stats = tmp_path / "stats.json"
    options = ["--users", "1", "--rate", "20", "--json-stats", str(stats)]
    load = spawn(*_command("load", "--host", f"http://127.0.0.1:{free_port()}", *options))

    def failed() -> bool:
        seconds = stats.read_text().splitlines() if stats.exists() else []
        return any(json.loads(second)["errors"] for second in seconds)

    wait_until(failed, what="a request that failed")
    load.process.terminate()
    assert load.process.wait(240) == 1
    load.wait_line("Connection refused")


def test_faults_are_switched_while_the_service_runs(
    site: tuple[str, dict[str, str], Any], spawn: Callable[..., Any]
) -> None:
    url, env, _ = site
    assert spawn(*_command("fault", "cache", "on"), env=env).process.wait(240) == 0
    with urllib.request.urlopen(f"{url}/admin/faults") as answer:
        assert json.load(answer) == {"listeners": False, "cache": True, "threadlocal": False}


def test_a_person_signs_up_posts_likes_and_comments_in_a_browser(
    site: tuple[str, dict[str, str], Any],
    browse: Callable[..., BrowserContext],
    wait_until: Callable[..., Any],
    tmp_path: Path,
) -> None:
    url, _, _ = site
    picture = tmp_path / "hills.jpg"
    picture.write_bytes(jpeg(3, (1200, 900)))
    problems: list[str] = []
    page = browse(viewport={"width": 1100, "height": 900}).new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.goto(f"{url}/signup")
    page.fill("[name=username]", "wanda")
    page.fill("[name=name]", "Wanda Walker")
    page.fill("[name=password]", "over the hills")
    page.click("main button")
    page.wait_for_url("**/feed")
    page.click("nav [title='New post']")
    page.set_input_files("[name=photo]", picture)
    wait_until(lambda: page.evaluate("document.getElementById('preview').naturalWidth === 1200"))
    page.fill("[name=caption]", "Up at six")
    page.click("text=Share")
    page.wait_for_url("**/p/*")
    wait_until(lambda: page.evaluate("document.querySelector('.card .photo img').naturalWidth > 0"))
    address = page.url
    page.click("button.heart")
    page.wait_for_selector("button.heart[aria-pressed=true] >> text=1 like")
    assert page.url == address
    page.fill("[name=text]", "Glad I did")
    page.click(".say button")
    page.wait_for_selector(".comments li >> text=Glad I did")
    page.screenshot(path=tmp_path / "post.png")
    page.goto(f"{url}/u/wanda")
    assert page.locator(".tile").count() == 1
    assert problems == []


def test_pages_fit_a_phone_in_light_and_dark(
    site: tuple[str, dict[str, str], Any], browse: Callable[..., BrowserContext]
) -> None:
    url, _, _ = site
    grounds = []
    for scheme in ("light", "dark"):
        page = browse(viewport={"width": 360, "height": 740}, color_scheme=scheme).new_page()
        for path in ("/explore", "/login", "/signup", "/p/1", "/search?q=a", "/nothing"):
            page.goto(url + path)
            assert page.evaluate("document.documentElement.scrollWidth") == 360, path
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds[0] != grounds[1]


def test_liking_works_without_javascript(
    site: tuple[str, dict[str, str], Any], browse: Callable[..., BrowserContext]
) -> None:
    url, _, _ = site
    page = browse(java_script_enabled=False).new_page()
    page.goto(f"{url}/signup")
    page.fill("[name=username]", "plain")
    page.fill("[name=password]", "no scripts here")
    page.click("main button")
    page.wait_for_url("**/feed")
    page.goto(f"{url}/p/1")
    page.click("button.heart")
    page.wait_for_selector("button.heart[aria-pressed=true]")
