"""Pages of sign-up, login, logout and one's own profile."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, current_app, flash, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from heapwatch_app.accounts import people
from heapwatch_app.accounts.login import enter, leave, login_required, viewer, viewer_id
from heapwatch_app.accounts.models import User
from heapwatch_app.database import session as database_session
from heapwatch_app.media.images import PhotoError
from heapwatch_app.media.views import store, uploaded_photo
from heapwatch_app.settings import AppSettings

blueprint = Blueprint("accounts", __name__)


def _cost() -> int:
    settings: AppSettings = current_app.extensions["settings"]
    return settings.app_password_cost


def _enter(user: User) -> Response:
    session.permanent = True
    enter(user)
    return redirect(_next_page())


def _next_page() -> str:
    """Where to go after login: the `next` of the form if it is a page of ours."""
    target = request.values.get("next", "")
    parts = urlsplit(target)
    local = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.netloc
    return target if local else url_for("feed.feed")


@blueprint.get("/signup")
def signup() -> Response | str:
    return redirect(url_for("feed.feed")) if viewer_id() else render_template("accounts/signup.html")


@blueprint.post("/signup")
def create_account() -> Response | tuple[str, int]:
    form = request.form
    try:
        user = people.sign_up(
            database_session(),
            form.get("username", ""),
            form.get("name", ""),
            form.get("password", ""),
            cost=_cost(),
        )
    except people.AccountError as error:
        return render_template("accounts/signup.html", error=error), 400
    return _enter(user)


@blueprint.get("/login")
def login() -> Response | str:
    return redirect(url_for("feed.feed")) if viewer_id() else render_template("accounts/login.html")


@blueprint.post("/login")
def check_login() -> Response | tuple[str, int]:
    form = request.form
    user = people.by_password(
        database_session(), form.get("username", ""), form.get("password", ""), cost=_cost()
    )
    if user is None:
        return render_template("accounts/login.html", error="Name or password is wrong."), 401
    return _enter(user)


@blueprint.post("/logout")
def logout() -> Response:
    leave()
    session.clear()
    return redirect(url_for("accounts.login"))


@blueprint.get("/settings")
@login_required
def settings() -> str:
    return render_template("accounts/settings.html")


@blueprint.post("/settings")
@login_required
def change_settings() -> Response | tuple[str, int]:
    user = viewer()
    try:
        people.change_profile(
            database_session(), user, request.form.get("name", ""), request.form.get("bio", "")
        )
        upload = request.files.get("avatar")
        old = user.avatar
        if upload is not None and upload.filename:
            user.avatar = store().add(uploaded_photo("avatar"))
    except (people.AccountError, PhotoError) as error:
        return render_template("accounts/settings.html", error=error), 400
    database_session().commit()
    if old and old != user.avatar:
        store().remove(old)
    flash("Saved.")
    return redirect(url_for("social.profile", username=user.username))
