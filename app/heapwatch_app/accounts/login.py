"""Who is asking: the login session and the viewer of the present request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import flask_login  # type: ignore[import-untyped]
from flask import Flask

from heapwatch_app.accounts.models import User
from heapwatch_app.database import session

View = TypeVar("View", bound=Callable[..., Any])


def attach(app: Flask) -> None:
    """Let `app` know its users by their session."""
    manager: Any = flask_login.LoginManager(app, add_context_processor=False)
    manager.login_view = "accounts.login"
    manager.login_message = "Log in to see this page."
    # Tie a session to the browser that it was opened in.
    manager.session_protection = "basic"
    manager.user_loader(_load)
    # A proxy, so that a page that doesn't ask for the user can be made without the database.
    app.context_processor(lambda: {"current_user": flask_login.current_user})


def _load(user_id: str) -> User | None:
    return session().get(User, int(user_id)) if user_id.isdecimal() else None


def login_required(view: View) -> View:
    """`view`, behind the login page."""
    return cast(View, flask_login.login_required(view))


def enter(user: User) -> None:
    """Log `user` in."""
    flask_login.login_user(user)


def leave() -> None:
    """Log the viewer out."""
    flask_login.logout_user()


def viewer() -> User:
    """The logged-in user; only for views that require a login."""
    return cast(User, flask_login.current_user._get_current_object())


def viewer_id() -> int:
    """The id of the logged-in user, 0 for a visitor."""
    return viewer().id if flask_login.current_user.is_authenticated else 0
