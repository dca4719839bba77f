"""Following, search and news."""

from __future__ import annotations

from typing import Any

import pytest

Person = Any


def test_following_twice_counts_once_and_can_be_taken_back(ann: Person, ben: Person) -> None:
    for _ in range(2):
        assert ann.send("/u/ben/follow").location == "/u/ben"
    page = ann.text("/u/ben")
    assert "1 follower<" in page
    assert ">Following</button>" in page
    assert "1 following" in ann.text("/u/ann")
    for _ in range(2):
        ann.send("/u/ben/unfollow")
    assert "0 followers" in ann.text("/u/ben")
    assert "0 following" in ann.text("/u/ann")


def test_nobody_follows_themselves(ann: Person) -> None:
    ann.send("/u/ann/follow")
    assert "0 followers" in ann.text("/u/ann")


def test_following_nobody_is_a_404(ann: Person) -> None:
    assert ann.send("/u/nobody/follow").status_code == 404


@pytest.mark.parametrize(
    ("words", "found"),
    [("an", {"ann"}), ("BEN", {"ben"}), ("n", {"ann", "ben"}), ("%", set()), ("_", set()), ("zed", set())],
)
def test_search_finds_people_by_user_name_or_name(
    ann: Person, ben: Person, words: str, found: set[str]
) -> None:
    page = ann.text(f"/search?q={words}").split("<main")[1]
    assert {name for name in ("ann", "ben") if f'href="/u/{name}"' in page} == found
    assert found or "Nobody by that name" in page


def test_search_words_are_shown_as_text(ann: Person) -> None:
    assert "<script>x" not in ann.text("/search?q=<script>x")


def test_news_tell_what_others_did_and_not_oneself(ann: Person, ben: Person, photo: bytes) -> None:
    post = ann.posts(photo)
    ann.send(f"/p/{post}/like")
    assert "Nothing yet" in ann.text("/news")
    ben.send("/u/ann/follow")
    ben.send(f"/p/{post}/like")
    ben.send(f"/p/{post}/comments", text="hi")
    page = ann.text("/news")
    assert page.index("commented") < page.index("liked") < page.index("follows you")
    assert page.count('href="/u/ben"') == 3
    assert "Nothing yet" in ben.text("/news")
