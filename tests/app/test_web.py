"""What holds for every page: protection of forms, headers, error pages, settings."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from heapwatch_app.settings import AppSettings
from heapwatch_app.web import create_app
from heapwatch_wire.config import ConfigError

Person = Any

FORMS = [
    "/signup", "/login", "/logout", "/settings", "/new", "/u/ann/follow", "/u/ann/unfollow",
    "/p/1/like", "/p/1/unlike", "/p/1/comments", "/p/1/delete", "/comments/1/delete",
]  # fmt: skip


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("token", [{}, {"csrf_token": "forged"}], ids=["none", "forged"])
def test_a_form_without_its_token_is_refused(ann: Person, path: str, token: dict[str, str]) -> None:
    answer = ann.client.post(path, data={"username": "eve", "password": "long enough", **token})
    assert answer.status_code == 400
    assert "reload the page" in answer.text


def test_every_form_of_the_site_is_tested_for_its_token(app: Flask) -> None:
    rules = [rule for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())]
    assert len(rules) == len(FORMS) + 1  # and the operator's, which has no session


def test_pages_carry_secure_headers(visitor: Person) -> None:
    answer = visitor.open("/login")
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie


def test_cookies_can_be_kept_to_https(
    make_app: Callable[[AppSettings], Flask], settings: AppSettings
) -> None:
    app = make_app(AppSettings(app_data=settings.app_data, app_secure_cookies=True))
    assert "Secure" in app.test_client().get("/login").headers["Set-Cookie"]


def test_a_failure_inside_is_a_plain_500_page(ann: Person, app: Flask) -> None:
    with app.extensions["database"].engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE users")
    answer = ann.open("/feed")
    assert answer.status_code == 500
    assert "Something went wrong on our side" in answer.text
    assert "Traceback" not in answer.text


def test_a_wrong_method_is_a_405_page(visitor: Person) -> None:
    answer = visitor.client.post("/explore", data={})
    assert answer.status_code in (400, 405)
    assert "Back to Shutter" in answer.text


def test_health_needs_no_login(visitor: Person) -> None:
    assert visitor.text("/healthz") == "ok"


def test_workers_that_start_at_once_share_database_and_secret(tmp_path: Path) -> None:
    settings = AppSettings(app_data=str(tmp_path / "new"))
    with ThreadPoolExecutor(6) as threads:
        apps = list(threads.map(create_app, [settings] * 6))
    for app in apps:
        app.extensions["database"].engine.dispose()
    assert len({app.secret_key for app in apps}) == 1
    assert (settings.folder / "secret").stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in settings.folder.glob("secret*")) == ["secret"]


def test_settings_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_app: Callable[[None], Flask]
) -> None:
    monkeypatch.setenv("HEAPWATCH_APP_DATABASE", f"sqlite:///{tmp_path / 'here.db'}")
    monkeypatch.setenv("HEAPWATCH_APP_MEDIA", str(tmp_path / "photos"))
    monkeypatch.setenv("HEAPWATCH_APP_SECRET", "known")
    app = make_app(None)
    assert app.secret_key == "known"  # noqa: S105
    assert (tmp_path / "here.db").is_file()
    assert (tmp_path / "photos").is_dir()


def test_a_bad_setting_is_named() -> None:
    with pytest.raises(ConfigError, match=r"app_password_cost='much': expected a whole number"):
        create_app({"app_password_cost": "much"})
