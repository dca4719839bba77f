"""Flask extension, for services that say in code what they use:

    from heapwatch.flask import Heapwatch

    heapwatch = Heapwatch(service="shop")

    def create_app():
        app = Flask(__name__)
        heapwatch.init_app(app)
        return app

Nothing is counted twice where Flask is measured without it as well.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from heapwatch_wire.settings import AgentSettings

from heapwatch.door import start, wsgi

if TYPE_CHECKING:
    from flask import Flask

NAME = "heapwatch"


class Heapwatch:
    """Starts the agent and measures the requests of applications: `Heapwatch(app)`, or later `init_app(app)`.

    `settings` are those of `heapwatch.start`.
    """

    def __init__(self, app: Flask | None = None, **settings: Any) -> None:
        self._settings = settings
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Measure `app`, and start the agent unless it runs; a second time does nothing.

        What the extension wasn't given comes from `app.config["HEAPWATCH_SERVICE"]` and its like, then from
        the environment as usual. ConfigError for a setting that can't be used.
        """
        if NAME in app.extensions:
            return
        app.extensions[NAME] = self
        configured = {
            field.name: app.config.get(f"HEAPWATCH_{field.name.upper()}") for field in fields(AgentSettings)
        }
        given = {name: value for name, value in configured.items() if value is not None}
        start(**{**given, **self._settings})
        app.wsgi_app = wsgi(app.wsgi_app)  # type: ignore[assignment]  # as Flask wants middleware applied
