"""Pages of single posts and the forms on them."""

from __future__ import annotations

import secrets

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from heapwatch_app.accounts.login import login_required, viewer, viewer_id
from heapwatch_app.database import session
from heapwatch_app.media.images import PhotoError
from heapwatch_app.media.views import store, uploaded_photo
from heapwatch_app.posts import publishing, reading
from heapwatch_app.posts.models import Comment, Post

blueprint = Blueprint("posts", __name__)


def _post_or_404(post_id: int) -> Post:
    return reading.find(session(), post_id) or abort(404)


def _page(post: Post, error: str = "") -> str:
    db = session()
    liked = reading.liked_by(db, viewer_id(), [post])
    comments = reading.last_comments(db, post.id)
    return render_template("posts/show.html", post=post, liked=liked, comments=comments, error=error)


@blueprint.get("/new")
@login_required
def new() -> str:
    return render_template("posts/new.html", ticket=secrets.token_hex(16))


@blueprint.post("/new")
@login_required
def create() -> Response | tuple[str, int]:
    db, author = session(), viewer()
    ticket = request.form.get("ticket", "")[:40] or secrets.token_hex(16)
    if (already := publishing.by_ticket(db, author.id, ticket)) is not None:
        return redirect(url_for("posts.show", post_id=already))
    try:
        caption = publishing.checked_caption(request.form.get("caption", ""))
        photo = uploaded_photo("photo")
    except (PhotoError, publishing.PostError) as error:
        page = render_template(
            "posts/new.html", ticket=ticket, error=error, caption=request.form.get("caption")
        )
        return page, 400
    name = store().add(photo)
    made = publishing.publish(
        db, author, ticket=ticket, photo=name, size=(photo.width, photo.height), caption=caption
    )
    if made is None:
        store().remove(name)
        made = publishing.by_ticket(db, author.id, ticket) or abort(409)
    return redirect(url_for("posts.show", post_id=made))


@blueprint.get("/p/<int:post_id>")
def show(post_id: int) -> str:
    return _page(_post_or_404(post_id))


@blueprint.post("/p/<int:post_id>/delete")
@login_required
def delete(post_id: int) -> Response:
    post = _post_or_404(post_id)
    if post.author_id != viewer().id:
        abort(403)
    publishing.remove(session(), post)
    store().remove(post.photo)
    flash("The post is deleted.")
    return redirect(url_for("social.profile", username=viewer().username))


@blueprint.post("/p/<int:post_id>/like")
@login_required
def like(post_id: int) -> Response | str:
    post = _post_or_404(post_id)
    publishing.like(session(), viewer(), post)
    return _like_answer(post)


@blueprint.post("/p/<int:post_id>/unlike")
@login_required
def unlike(post_id: int) -> Response | str:
    post = _post_or_404(post_id)
    publishing.unlike(session(), viewer(), post)
    return _like_answer(post)


def _like_answer(post: Post) -> Response | str:
    """The new button for the script on the page, or the way back for a plain form."""
    if request.headers.get("X-Requested-With") != "fetch":
        return redirect(url_for("posts.show", post_id=post.id))
    db = session()
    db.refresh(post, ["like_count"])
    return render_template("posts/_like.html", post=post, liked=reading.liked_by(db, viewer_id(), [post]))


@blueprint.post("/p/<int:post_id>/comments")
@login_required
def comment(post_id: int) -> Response | tuple[str, int]:
    post = _post_or_404(post_id)
    try:
        publishing.comment(session(), viewer(), post, request.form.get("text", ""))
    except publishing.PostError as error:
        return _page(post, str(error)), 400
    return redirect(url_for("posts.show", post_id=post_id, _anchor="comments"))


@blueprint.post("/comments/<int:comment_id>/delete")
@login_required
def delete_comment(comment_id: int) -> Response:
    found = session().get(Comment, comment_id) or abort(404)
    post = _post_or_404(found.post_id)
    if viewer().id not in (found.author_id, post.author_id):
        abort(403)
    publishing.remove_comment(session(), found)
    return redirect(url_for("posts.show", post_id=post.id, _anchor="comments"))
