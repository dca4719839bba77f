"""Posts as a grid of thumbnails, as on a profile and on the explore page."""

from __future__ import annotations

from collections.abc import Sequence

from flask import render_template, request
from markupsafe import Markup

from heapwatch_app.accounts.login import viewer_id
from heapwatch_app.faults import cache, switches
from heapwatch_app.posts.models import Post


def rendered_grid(posts: Sequence[Post]) -> Markup:
    """The HTML of the grid."""

    def render() -> str:
        return render_template("posts/_grid.html", posts=posts)

    if switches.on("cache"):
        return Markup(cache.remembered(request.url, viewer_id(), render))
    return Markup(render())
