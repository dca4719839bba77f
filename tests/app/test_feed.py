"""The feed and the explore page: what is in them, in which order, at what price."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from flask import Flask
from heapwatch_app.load.seed import seed
from heapwatch_app.settings import AppSettings

Person = Any


def shown(page: str) -> list[int]:
    """Ids of the posts on a page, in order."""
    return [int(post) for post in dict.fromkeys(re.findall(r'class="(?:photo|tile)" href="/p/(\d+)"', page))]


def test_the_feed_shows_own_posts_and_those_of_followed_people(
    ann: Person, ben: Person, person: Callable[[str], Person], photo: bytes
) -> None:
    mine, bens, carols = ann.posts(photo), ben.posts(photo), person("carol").posts(photo)
    ann.send("/u/ben/follow")
    assert shown(ann.text("/feed")) == [bens, mine]
    assert shown(ann.text("/explore")) == [carols, bens, mine]
    ann.send("/u/ben/unfollow")
    assert shown(ann.text("/feed")) == [mine]


def test_an_empty_feed_says_what_to_do(ann: Person) -> None:
    assert "Your feed is empty" in ann.text("/feed")


def test_pages_of_twenty_lead_through_the_whole_feed(
    settings: AppSettings, app: Flask, person: Callable[[str], Person]
) -> None:
    seed(settings, users=1, posts=45)
    author = re.search(r'class="person" href="/u/([\w.]+)"', person("ann").text("/p/1"))
    assert author
    ann = person("anna")
    ann.send(f"/u/{author[1]}/follow")
    seen, path = [], "/feed"
    while path:
        page = ann.text(path)
        seen.append(shown(page))
        older = re.search(r'href="(/feed\?before=\d+)"', page)
        path = older[1] if older else ""
    assert [len(posts) for posts in seen] == [20, 20, 5]
    assert [post for posts in seen for post in posts] == list(range(45, 0, -1))


def test_a_longer_page_needs_no_more_queries(
    ann: Person, ben: Person, photo: bytes, statements: Callable[[], Any]
) -> None:
    def cost(path: str) -> int:
        with statements() as seen:
            ann.text(path)
        return len(seen)

    ann.send("/u/ben/follow")
    first = ben.posts(photo)
    ben.send(f"/p/{first}/comments", text="mine")
    paths = ("/feed", "/explore", "/u/ben", "/news", "/search?q=b", f"/p/{first}")
    few = {path: cost(path) for path in paths}
    for _ in range(6):
        post = ben.posts(photo)
        ann.send(f"/p/{post}/like")
        ann.send(f"/p/{first}/comments", text="more")
    assert {path: cost(path) for path in paths} == few
    assert few["/feed"] <= 4


def test_a_bad_page_mark_shows_the_newest(ann: Person, photo: bytes) -> None:
    post = ann.posts(photo)
    assert shown(ann.text("/feed?before=x")) == [post]


def test_home_leads_users_to_the_feed_and_visitors_to_explore(ann: Person, visitor: Person) -> None:
    assert ann.open("/").location == "/feed"
    assert visitor.open("/").location == "/explore"
    assert visitor.open("/explore").status_code == 200


def test_seeded_counts_agree_with_what_they_count(settings: AppSettings, app: Flask) -> None:
    seed(settings, users=8, posts=12)
    with app.extensions["database"].engine.connect() as connection:

        def ask(sql: str) -> Any:
            return connection.exec_driver_sql(sql).scalar_one()

        assert ask("SELECT sum(post_count) FROM users") == ask("SELECT count(*) FROM posts") == 12
        assert ask("SELECT sum(like_count) FROM posts") == ask("SELECT count(*) FROM likes")
        assert ask("SELECT sum(comment_count) FROM posts") == ask("SELECT count(*) FROM comments")
        assert ask("SELECT sum(follower_count) FROM users") == ask("SELECT count(*) FROM follows")
        assert ask("SELECT sum(following_count) FROM users") == ask("SELECT count(*) FROM follows") > 0
