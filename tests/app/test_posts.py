"""Posts, likes and comments, as their users see them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from heapwatch_app.settings import AppSettings
from PIL import Image

Person = Any


def media(settings: AppSettings) -> list[Path]:
    return [path for path in settings.media_folder.rglob("*") if path.is_file()]


def test_a_posted_photo_is_on_its_page_the_profile_the_feed_and_explore(ann: Person, photo: bytes) -> None:
    post = ann.posts(photo, "Hello <b>hills</b>")
    page = ann.text(f"/p/{post}")
    assert "Hello &lt;b&gt;hills&lt;/b&gt;" in page
    address = re.search(r'src="(/media/[^"]+/640\.jpg)"', page)
    assert address
    with ann.open(address[1]) as image:
        assert image.mimetype == "image/jpeg"
        assert "immutable" in image.headers["Cache-Control"]
        assert Image.open(io.BytesIO(image.data)).size == (64, 48)
    for path in ("/u/ann", "/feed", "/explore"):
        assert f'href="/p/{post}"' in ann.text(path)
    assert "1 post<" in ann.text("/u/ann")


def test_a_form_sent_twice_makes_one_post(ann: Person, photo: bytes, settings: AppSettings) -> None:
    ticket = ann.hidden("/new", "ticket")
    first, second = ann.post(photo, ticket=ticket), ann.post(photo, ticket=ticket)
    assert first.location == second.location
    assert "1 post<" in ann.text("/u/ann")
    assert len(media(settings)) == 3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"photo": (io.BytesIO(b"GIF89a..."), "a.jpg")}, "Send a JPEG, PNG or WebP file"),
        ({"photo": (io.BytesIO(b""), "a.jpg")}, "Choose a photo first."),
        ({}, "Choose a photo first."),
        ({"caption": "x" * 2201}, "longer than 2200 characters"),
    ],
)
def test_a_bad_post_is_refused_with_words_and_stores_nothing(
    ann: Person, settings: AppSettings, fields: dict[str, Any], words: str
) -> None:
    answer = ann.send("/new", ticket="t", **fields)
    assert answer.status_code == 400
    assert words in answer.text
    assert media(settings) == []
    assert "0 posts" in ann.text("/u/ann")


def test_a_body_over_the_limit_is_refused(
    make_app: Callable[[AppSettings], Flask], settings: AppSettings
) -> None:
    app = make_app(AppSettings(app_data=settings.app_data, app_max_upload=64 << 10))
    answer = app.test_client().post(
        "/new", data=b"x" * (3 << 20), content_type="multipart/form-data; boundary=x"
    )
    assert answer.status_code == 413
    assert "Choose a smaller photo" in answer.text


def test_liking_and_unliking_twice_changes_once(ann: Person, ben: Person, photo: bytes) -> None:
    post = ann.posts(photo)
    for _ in range(2):
        assert ben.send(f"/p/{post}/like").location == f"/p/{post}"
        assert "<span>1 like</span>" in ann.text(f"/p/{post}")
    assert f'action="/p/{post}/unlike"' in ben.text(f"/p/{post}")
    assert f'action="/p/{post}/like"' in ann.text(f"/p/{post}")
    for _ in range(2):
        ben.send(f"/p/{post}/unlike")
        assert "<span>0 likes</span>" in ann.text(f"/p/{post}")


def test_a_like_by_script_is_answered_with_the_new_button(ann: Person, photo: bytes) -> None:
    post = ann.posts(photo)
    token = ann.hidden("/settings", "csrf_token")
    answer = ann.client.post(
        f"/p/{post}/like", data={"csrf_token": token}, headers={"X-Requested-With": "fetch"}
    )
    assert answer.text.startswith("<form")
    assert "1 like" in answer.text
    assert 'aria-pressed="true"' in answer.text


def test_likes_of_many_at_once_are_all_counted_and_unique(
    ann: Person, person: Callable[[str], Person], photo: bytes, app: Flask
) -> None:
    post = ann.posts(photo)
    fans = [person(f"fan{n}") for n in range(4)]
    tokens = [fan.hidden("/settings", "csrf_token") for fan in fans]

    def like(turn: int) -> int:
        fan = app.test_client()
        number = turn % len(fans)
        cookie = fans[number].client.get_cookie("session")
        fan.set_cookie("session", cookie.value)
        return fan.post(f"/p/{post}/like", data={"csrf_token": tokens[number]}).status_code

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(like, range(40))) == {302}
    assert "<span>4 likes</span>" in ann.text(f"/p/{post}")
    with app.extensions["database"].engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM likes").scalar_one() == 4


def test_comments_are_shown_in_order_and_counted(ann: Person, ben: Person, photo: bytes) -> None:
    post = ann.posts(photo)
    for text in ("first <script>", "second"):
        assert ben.send(f"/p/{post}/comments", text=text).location == f"/p/{post}#comments"
    page = ann.text(f"/p/{post}")
    assert page.index("first &lt;script&gt;") < page.index("second")
    assert "2 comments" in page


@pytest.mark.parametrize(("text", "words"), [("  ", "Write something"), ("x" * 1001, "longer than 1000")])
def test_a_bad_comment_is_refused(ann: Person, photo: bytes, text: str, words: str) -> None:
    post = ann.posts(photo)
    answer = ann.send(f"/p/{post}/comments", text=text)
    assert answer.status_code == 400
    assert words in answer.text
    assert "0 comments" in ann.text(f"/p/{post}")


def test_a_post_is_deleted_by_its_author_only_and_with_its_files(
    ann: Person, ben: Person, photo: bytes, settings: AppSettings
) -> None:
    post = ann.posts(photo)
    ben.send(f"/p/{post}/like")
    ben.send(f"/p/{post}/comments", text="nice")
    assert ben.send(f"/p/{post}/delete").status_code == 403
    assert "Delete post" not in ben.text(f"/p/{post}")
    assert "Delete post" in ann.text(f"/p/{post}")
    assert ann.send(f"/p/{post}/delete").location == "/u/ann"
    assert ann.open(f"/p/{post}").status_code == 404
    assert media(settings) == []
    assert "0 posts" in ann.text("/u/ann")


def test_a_comment_is_deleted_by_its_author_or_the_posts_author(
    ann: Person, ben: Person, person: Callable[[str], Person], photo: bytes
) -> None:
    post, carol = ann.posts(photo), person("carol")
    for text in ("one", "two"):
        ben.send(f"/p/{post}/comments", text=text)
    assert carol.send("/comments/1/delete").status_code == 403
    assert ben.send("/comments/1/delete").status_code == 302
    assert ann.send("/comments/2/delete").status_code == 302
    assert ann.send("/comments/2/delete").status_code == 404
    assert "0 comments" in ann.text(f"/p/{post}")


@pytest.mark.parametrize("action", ["like", "unlike", "comments", "delete"])
def test_visitors_can_look_but_not_act(ann: Person, visitor: Person, photo: bytes, action: str) -> None:
    post = ann.posts(photo)
    assert "Log in" in visitor.text(f"/p/{post}")
    assert visitor.send(f"/p/{post}/{action}", text="x").location.startswith("/login?next=")


@pytest.mark.parametrize("path", ["/p/99", "/u/nobody", f"/media/{'0' * 32}/640.jpg", "/media/x/640.jpg"])
def test_what_is_not_there_is_a_404_page(visitor: Person, path: str) -> None:
    answer = visitor.open(path)
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text


@pytest.mark.parametrize("path", ["/media/../app.db/640.jpg", "/media/..%2fapp.db/640.jpg"])
def test_media_names_cannot_leave_the_folder(visitor: Person, path: str) -> None:
    assert visitor.open(path).status_code == 404


@pytest.mark.parametrize("action", ["like", "unlike", "comments", "delete"])
def test_acting_on_a_missing_post_is_a_404(ann: Person, action: str) -> None:
    assert ann.send(f"/p/99/{action}", text="x").status_code == 404
