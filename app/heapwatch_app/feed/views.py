"""The viewer's feed and the newest posts of everybody."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response

from heapwatch_app.accounts.login import login_required, viewer, viewer_id
from heapwatch_app.database import session
from heapwatch_app.faults import listeners, switches
from heapwatch_app.posts import reading
from heapwatch_app.posts.grid import rendered_grid
from heapwatch_app.posts.models import Post
from heapwatch_app.social import graph
from heapwatch_app.social.models import Follow

blueprint = Blueprint("feed", __name__)

PAGE = 20
GRID = 24


@blueprint.get("/")
def home() -> Response:
    return redirect(url_for("feed.feed" if viewer_id() else "feed.explore"))


@blueprint.get("/feed")
@login_required
def feed() -> str:
    db, user = session(), viewer()
    before = request.args.get("before", type=int)
    followed = select(Follow.followed_id).where(Follow.follower_id == user.id)
    posts = reading.newest(
        db, PAGE, before=before, where=(Post.author_id == user.id) | Post.author_id.in_(followed)
    )
    if switches.on("listeners"):
        listeners.watch(user.id, posts)
    return render_template(
        "feed/feed.html",
        posts=posts,
        liked=reading.liked_by(db, user.id, posts),
        more=posts[-1].id if len(posts) == PAGE else None,
        suggestions=graph.suggestions(db, user.id) if before is None else (),
    )


@blueprint.get("/explore")
def explore() -> str:
    posts = reading.newest(session(), GRID, before=request.args.get("before", type=int))
    more = posts[-1].id if len(posts) == GRID else None
    return render_template("feed/explore.html", grid=rendered_grid(posts), more=more)
