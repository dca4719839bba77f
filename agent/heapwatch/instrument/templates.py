"""Time that requests spend rendering templates of Jinja and of Django."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from heapwatch.instrument.work import current


def instrument(module: ModuleType) -> None:
    """Wrap `Template.render` of the module `jinja2.environment` or `django.template.base`."""
    original = module.Template.render

    def render(self: Any, *args: Any, **kwargs: Any) -> Any:
        running = current()
        if running is None:
            return original(self, *args, **kwargs)
        running.template_began()
        try:
            return original(self, *args, **kwargs)
        finally:
            running.template_ended()

    module.Template.render = render
