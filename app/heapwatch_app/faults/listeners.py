"""Fault `listeners`: each feed page subscribes to the bus and never unsubscribes.

The page wants to know which of its posts are deleted while somebody looks at it. The subscription is
a bound method, so the bus holds the whole page with its rendered cards, and the page holds its listener.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import escape

from heapwatch_app.events import BUS, Event
from heapwatch_app.posts.models import Post


class RenderedCard(bytes):
    """A post as the HTML that is sent for it, encoded."""

    __slots__ = ()


class FeedPage:
    """What one viewer was shown, kept current while the page is open."""

    def __init__(self, viewer_id: int, posts: Sequence[Post]) -> None:
        self.viewer_id = viewer_id
        self.cards: list[RenderedCard] = []
        self.stale = False
        self.listener = self.post_deleted
        for post in posts:
            markup = _markup(post)
            self.cards.append(RenderedCard(markup, "utf-8"))

    def post_deleted(self, happened: Event) -> None:
        """Note that the page shows something that is gone."""
        self.stale = True


def watch(viewer_id: int, posts: Sequence[Post]) -> FeedPage:
    """A page of `posts` that is told of deletions."""
    page = FeedPage(viewer_id, posts)
    BUS.subscribe("post.deleted", page.listener)
    return page


def _markup(post: Post) -> str:
    small, large = f"/media/{post.photo}/640.jpg", f"/media/{post.photo}/1080.jpg"
    return (
        f'<article class="card" id="post-{post.id}">'
        f'<a href="/u/{post.author.username}">{post.author.username}</a>'
        f'<a href="/p/{post.id}"><img src="{small}" srcset="{small} 640w, {large} 1080w" '
        f'width="{post.width}" height="{post.height}" alt=""></a><p>{escape(post.caption)}</p></article>'
    )
