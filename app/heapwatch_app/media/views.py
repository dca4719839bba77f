"""Serving photos, and taking them from forms."""

from __future__ import annotations

from flask import Blueprint, Response, abort, current_app, request, send_file

from heapwatch_app.media.images import Photo, PhotoError, process
from heapwatch_app.media.store import MediaStore
from heapwatch_app.settings import AppSettings

blueprint = Blueprint("media", __name__)

_YEAR = 31_536_000


def store() -> MediaStore:
    """The media store of the present application."""
    found: MediaStore = current_app.extensions["media"]
    return found


def uploaded_photo(field: str) -> Photo:
    """The photo sent in the form field `field`; PhotoError if there is none or it can't be taken."""
    settings: AppSettings = current_app.extensions["settings"]
    upload = request.files.get(field)
    if upload is None or not upload.filename:
        raise PhotoError("Choose a photo first.")
    return process(upload.stream, max_bytes=settings.app_max_upload, max_pixels=settings.app_max_pixels)


@blueprint.get("/media/<name>/<int:size>.jpg")
def photo(name: str, size: int) -> Response:
    try:
        path = store().path(name, size)
    except KeyError:
        abort(404)
    if not path.is_file():
        abort(404)
    # A name is never used for another photo, so browsers may keep it.
    response = send_file(path, mimetype="image/jpeg", conditional=True, max_age=_YEAR)
    response.cache_control.immutable = True
    return response
