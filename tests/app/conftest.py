"""The application on a fresh SQLite file, people who use it, and photos to post."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from heapwatch_app.database import Database
from heapwatch_app.load.seed import seed
from heapwatch_app.settings import AppSettings
from heapwatch_app.web import create_app
from PIL import Image
from sqlalchemy import event
from werkzeug.test import TestResponse

PASSWORD = "correct horse"  # noqa: S105


class Person:
    """Somebody at a browser: keeps cookies, and fills in the hidden fields of forms."""

    def __init__(self, client: FlaskClient, username: str = "") -> None:
        self.client = client
        self.username = username

    def open(self, path: str) -> TestResponse:
        return self.client.get(path)

    def text(self, path: str) -> str:
        """The page at `path`, which must be there."""
        answer = self.open(path)
        assert answer.status_code == 200, (path, answer.status)
        return answer.text

    def hidden(self, path: str, name: str) -> str:
        """The hidden field `name` of the first form on the page."""
        found = re.search(rf'name="{name}" value="([^"]+)"', self.client.get(path).text)
        assert found, f"no field {name} on {path}"
        return found[1]

    def send(self, path: str, **fields: Any) -> TestResponse:
        """Send a form to `path`."""
        token = self.hidden("/login" if not self.username else "/settings", "csrf_token")
        return self.client.post(path, data={"csrf_token": token, **fields})

    def sign_up(self, username: str) -> Person:
        answer = self.send("/signup", username=username, name=username.title(), password=PASSWORD)
        assert answer.status_code == 302, answer.text
        self.username = username
        return self

    def post(self, photo: bytes, caption: str = "", ticket: str = "") -> TestResponse:
        ticket = ticket or self.hidden("/new", "ticket")
        return self.send("/new", ticket=ticket, caption=caption, photo=(io.BytesIO(photo), "photo.jpg"))

    def posts(self, photo: bytes, caption: str = "") -> int:
        """Post a photo; the id of the post."""
        answer = self.post(photo, caption)
        assert answer.status_code == 302, answer.text
        return int(answer.location.rsplit("/", 1)[1])


@pytest.fixture
def settings(tmp_path: Path) -> AppSettings:
    return AppSettings(app_data=str(tmp_path / "data"), app_password_cost=10, app_max_pixels=4_000_000)


@pytest.fixture
def make_app() -> Iterator[Callable[[AppSettings], Flask]]:
    """make_app(settings) -> the application; its database is closed when the test ends."""
    made: list[Flask] = []

    def make(settings: AppSettings) -> Flask:
        made.append(create_app(settings))
        return made[-1]

    yield make
    for app in made:
        app.extensions["database"].engine.dispose()


@pytest.fixture
def app(make_app: Callable[[AppSettings], Flask], settings: AppSettings) -> Flask:
    return make_app(settings)


@pytest.fixture
def visitor(app: Flask) -> Person:
    """Somebody without an account."""
    return Person(app.test_client())


@pytest.fixture
def person(app: Flask) -> Callable[[str], Person]:
    """person(username) -> a new user, logged in."""
    return lambda username: Person(app.test_client()).sign_up(username)


@pytest.fixture
def ann(person: Callable[[str], Person]) -> Person:
    return person("ann")


@pytest.fixture
def ben(person: Callable[[str], Person]) -> Person:
    return person("ben")


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A small JPEG."""
    return encoded(Image.new("RGB", (64, 48), "teal"), "JPEG")


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.fixture(name="encoded", scope="session")
def encoded_fixture() -> Callable[..., bytes]:
    """encoded(image, "PNG", ...) -> the bytes of the file."""
    return encoded


@pytest.fixture(scope="session")
def seeded_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with 10 people and 60 posts, to be copied."""
    folder = tmp_path_factory.mktemp("seeded") / "data"
    seed(AppSettings(app_data=str(folder), app_password_cost=10), users=10, posts=60)
    return folder


@pytest.fixture
def seeded(seeded_folder: Path, settings: AppSettings) -> None:
    """The application starts with 10 people and 60 posts."""
    shutil.copytree(seeded_folder, settings.folder)


@pytest.fixture
def statements(app: Flask) -> Callable[[], Any]:
    """`with statements() as seen:` collects the SQL statements executed inside."""
    database: Database = app.extensions["database"]

    @contextmanager
    def collect() -> Iterator[list[str]]:
        seen: list[str] = []

        def executed(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
            seen.append(statement)

        event.listen(database.engine, "before_cursor_execute", executed)
        try:
            yield seen
        finally:
            event.remove(database.engine, "before_cursor_execute", executed)

    return collect
