"""The page when something is missing: no service, no token, no collector, no such leak."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.integration


def test_an_empty_collector_tells_how_to_attach(visit: Callable[..., Any], empty: str) -> None:
    page = visit(empty).open()
    lines = page.locator("pre").inner_text().splitlines()
    assert lines[0] == "pip install heapwatch"
    assert f"HEAPWATCH_COLLECTOR={empty}" in lines[1]
    assert lines[2].startswith("heapwatch run -- ")


def test_an_unknown_service_has_nothing_to_show(visit: Callable[..., Any], empty: str) -> None:
    page = visit(empty).open("#/services/nobody")
    expect(page.locator(".headline")).to_contain_text("Nothing has been analysed yet.")
    expect(page.get_by_role("region", name="Memory over time")).to_contain_text(
        "Nothing was received in the last 1 h"
    )
    expect(page.get_by_role("main")).to_contain_text("No profile in this range")


def test_an_unknown_leak_says_so(visit: Callable[..., Any], empty: str) -> None:
    here = visit(empty)
    page = here.open("#/services/shop/leaks/0000000000000000")
    expect(page.get_by_role("alert")).to_contain_text("no verdict on site '0000000000000000' of 'shop'")
    assert [c for c in here.complaints if "404" not in c] == []
    here.complaints.clear()


def test_an_unknown_address_leads_back(visit: Callable[..., Any], empty: str) -> None:
    page = visit(empty).open("#/somewhere/else")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is no page /somewhere/else")
    page.get_by_role("link", name="All services").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Services")


def test_the_token_is_asked_for_and_kept_for_the_tab(
    visit: Callable[..., Any], locked: str, token: str
) -> None:
    here = visit(locked)
    page = here.open()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("This collector asks for its token")
    dialog.get_by_label("Token").fill("wrong")
    dialog.get_by_role("button", name="Open").click()
    expect(dialog).to_contain_text("The token was refused.")
    dialog.get_by_label("Token").fill(token)
    dialog.get_by_label("Token").press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("main")).to_contain_text("No service has sent anything yet")
    page.reload()
    expect(page.get_by_role("main")).to_contain_text("No service has sent anything yet")
    assert page.evaluate("localStorage.length") == 0
    assert [c for c in here.complaints if "401" not in c] == []
    here.complaints.clear()


def test_a_collector_that_goes_away_leaves_what_was_seen(
    visit: Callable[..., Any], story: Any, wait_until: Callable[..., Any]
) -> None:
    here = visit(story.url)
    here.page.clock.install()
    page = here.open()
    expect(page.get_by_role("row").filter(has_text="shop")).to_be_visible()
    alert = page.get_by_role("alert")

    def after_a_while(alerts: int) -> bool:
        page.clock.run_for(2_000)
        return alert.count() == alerts

    here.context.set_offline(True)
    wait_until(lambda: after_a_while(1))
    expect(alert).to_contain_text("The collector can't be reached.")
    expect(alert).to_contain_text(re.compile(r"What you see is of \d\d:\d\d\."))
    expect(page.get_by_role("row").filter(has_text="shop")).to_be_visible()
    here.context.set_offline(False)
    wait_until(lambda: after_a_while(0))
    here.complaints.clear()


def test_a_page_that_is_not_live_asks_once(
    visit: Callable[..., Any], story: Any, wait_until: Callable[..., Any]
) -> None:
    here = visit(story.url)
    here.page.clock.install()
    page = here.open()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    expect(page.get_by_role("img", name="RSS of shop over 1 h")).to_be_visible()
    asked.clear()

    def asked_again() -> bool:
        page.clock.run_for(2_000)
        return any(url.endswith("/api/v1/services") for url in asked)

    wait_until(asked_again)
    page.get_by_role("checkbox", name="Live").uncheck()
    page.wait_for_load_state("networkidle")
    asked.clear()
    page.clock.run_for(120_000)
    expect(page.get_by_role("row").filter(has_text="shop")).to_contain_text("leak")
    assert asked == []


def test_a_failing_collector_is_named(visit: Callable[..., Any], empty: str) -> None:
    here = visit(empty)
    answer = {"status": 503, "json": {"error": "the store could not answer", "mend": "try again"}}
    here.context.route("**/api/v1/services", lambda route: route.fulfill(**answer))
    page = here.open()
    expect(page.get_by_role("alert")).to_have_text("the store could not answer try again")
    here.complaints.clear()


def test_names_from_outside_stay_text(visit: Callable[..., Any], empty: str) -> None:
    here = visit(empty)
    name = "<img src=x onerror=document.title='taken'>"
    service = {
        "name": name, "versions": [name], "instances": 1, "first_seen": 1.0, "last_seen": 2.0,
        "rss_bytes": None, "status": "unknown", "leaks": 0,
    }  # fmt: skip
    here.context.route("**/api/v1/services", lambda route: route.fulfill(json={"services": [service]}))
    page = here.open()
    expect(page.get_by_role("link", name=name)).to_be_visible()
    assert page.title() == "Heapwatch"
