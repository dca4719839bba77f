"""Pages of people: profile, followers, search, news."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from heapwatch_app.accounts import people
from heapwatch_app.accounts.login import login_required, viewer, viewer_id
from heapwatch_app.accounts.models import User
from heapwatch_app.database import session
from heapwatch_app.posts import reading
from heapwatch_app.posts.grid import rendered_grid
from heapwatch_app.posts.models import Post
from heapwatch_app.social import graph

blueprint = Blueprint("social", __name__)

PROFILE_POSTS = 24


def _user_or_404(username: str) -> User:
    return people.by_username(session(), username) or abort(404)


@blueprint.get("/u/<username>")
def profile(username: str) -> str:
    db, user = session(), _user_or_404(username)
    before = request.args.get("before", type=int)
    posts = reading.newest(db, PROFILE_POSTS, before=before, where=Post.author_id == user.id)
    following = graph.follows(db, viewer_id(), user.id)
    more = posts[-1].id if len(posts) == PROFILE_POSTS else None
    return render_template(
        "social/profile.html",
        user=user,
        posts=posts,
        grid=rendered_grid(posts),
        following=following,
        more=more,
    )


@blueprint.post("/u/<username>/follow")
@login_required
def follow(username: str) -> Response:
    graph.follow(session(), viewer(), _user_or_404(username))
    return redirect(url_for("social.profile", username=username))


@blueprint.post("/u/<username>/unfollow")
@login_required
def unfollow(username: str) -> Response:
    graph.unfollow(session(), viewer(), _user_or_404(username))
    return redirect(url_for("social.profile", username=username))


@blueprint.get("/search")
def search() -> str:
    words = request.args.get("q", "")
    return render_template("social/search.html", words=words, found=graph.search(session(), words))


@blueprint.get("/news")
@login_required
def news() -> str:
    return render_template("social/news.html", news=graph.news(session(), viewer().id))
