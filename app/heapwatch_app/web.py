"""The application factory: `gunicorn 'heapwatch_app.web:create_app()'`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask import Flask, Response, render_template
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped]
from heapwatch_wire.config import load
from werkzeug.exceptions import HTTPException

from heapwatch_app import database
from heapwatch_app.accounts import login
from heapwatch_app.accounts.views import blueprint as accounts
from heapwatch_app.database import Database
from heapwatch_app.faults import threadlocal
from heapwatch_app.faults.switches import Switches
from heapwatch_app.faults.views import blueprint as faults
from heapwatch_app.feed.views import blueprint as feed
from heapwatch_app.media.store import MediaStore
from heapwatch_app.media.views import blueprint as media
from heapwatch_app.posts.views import blueprint as posts
from heapwatch_app.settings import SECTION, AppSettings
from heapwatch_app.social import graph
from heapwatch_app.social.views import blueprint as social
from heapwatch_app.wording import ago, counted

_FORM_OVERHEAD = 1 << 20
"""Bytes that a form may have besides its photo."""

_SECURE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def create_app(config: AppSettings | Mapping[str, Any] | None = None) -> Flask:
    """The web application.

    `config` is a full table of settings, or overrides of what the environment (HEAPWATCH_APP_*) and
    heapwatch.toml say. Raises heapwatch_wire.config.ConfigError for a value that can't be used.
    """
    settings = config if isinstance(config, AppSettings) else load(AppSettings, SECTION, overrides=config)
    app = Flask("heapwatch_app")
    _configure(app, settings)
    _attach_parts(app, settings)
    for blueprint in (accounts, posts, media, feed, social, faults):
        app.register_blueprint(blueprint)
    CSRFProtect(app).exempt(faults)
    app.add_template_filter(ago)
    app.add_template_filter(counted)
    app.add_url_rule("/healthz", view_func=lambda: "ok", endpoint="healthz")
    app.register_error_handler(HTTPException, _error_page)
    app.register_error_handler(CSRFError, _form_expired)
    app.after_request(_secured)
    graph.listen()
    return app


def _configure(app: Flask, settings: AppSettings) -> None:
    app.config.update(
        SECRET_KEY=settings.secret(),
        MAX_CONTENT_LENGTH=settings.app_max_upload + _FORM_OVERHEAD,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.app_secure_cookies,
        PERMANENT_SESSION_LIFETIME=timedelta(days=30),
        # A token is good for as long as its session: forms may stay open over night.
        WTF_CSRF_TIME_LIMIT=None,
        SEND_FILE_MAX_AGE_DEFAULT=timedelta(hours=1),
    )


def _attach_parts(app: Flask, settings: AppSettings) -> None:
    db = Database(settings.database_url)
    db.create_tables()
    threadlocal.audit(db.engine)
    database.attach(app, db)
    login.attach(app)
    app.extensions["settings"] = settings
    app.extensions["media"] = MediaStore(settings.media_folder)
    app.extensions["faults"] = Switches(settings.faults_file)


def _secured(response: Response) -> Response:
    for name, value in _SECURE_HEADERS.items():
        response.headers.setdefault(name, value)
    if response.mimetype == "text/html":
        response.headers.setdefault("Cache-Control", "private, no-cache")
    return response


def _error_page(error: HTTPException) -> tuple[str, int] | HTTPException:
    code = error.code or 500
    if code < 400:
        return error
    text = {
        403: "This isn't yours to change.",
        404: "There is nothing here. It may have been deleted.",
        413: "That is too large to send. Choose a smaller photo.",
        500: "Something went wrong on our side. Try again in a moment.",
    }.get(code, error.description or "")
    return render_template("error.html", code=code, title=error.name, text=text), code


def _form_expired(error: CSRFError) -> tuple[str, int]:
    text = "This form isn't valid any more. Go back, reload the page and send it again."
    return render_template("error.html", code=400, title="Form expired", text=text), 400
