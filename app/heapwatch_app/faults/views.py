"""The endpoint that shows and switches faults; for the operator only."""

from __future__ import annotations

import hmac
import ipaddress

from flask import Blueprint, abort, current_app, request

from heapwatch_app.faults.switches import NAMES, Switches
from heapwatch_app.settings import AppSettings

blueprint = Blueprint("faults", __name__)


@blueprint.before_request
def operator_only() -> None:
    settings: AppSettings = current_app.extensions["settings"]
    if settings.app_admin_token:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {settings.app_admin_token}".encode()):
            abort(403)
    elif not _is_direct_from_here():
        abort(403)


def _is_direct_from_here() -> bool:
    """A request from this machine that no proxy has passed on."""
    forwarded = any(h in request.headers for h in ("Forwarded", "X-Forwarded-For", "X-Real-IP"))
    try:
        return not forwarded and ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


@blueprint.get("/admin/faults")
def show() -> dict[str, bool]:
    on = _switches().read()
    return {name: name in on for name in NAMES}


@blueprint.post("/admin/faults/<name>")
def switch(name: str) -> dict[str, bool]:
    state = request.form.get("state", "")
    if name not in NAMES or state not in ("on", "off"):
        abort(400, f"Send state=on or state=off for one of: {', '.join(NAMES)}.")
    _switches().set(name, state == "on")
    return show()


def _switches() -> Switches:
    found: Switches = current_app.extensions["faults"]
    return found
