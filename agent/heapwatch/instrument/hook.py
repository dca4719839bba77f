"""Acts on modules as soon as the application has imported them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import TypeAlias

from heapwatch.failures import logger

Action: TypeAlias = Callable[[ModuleType], None]


class _Watcher:
    """A finder that leaves finding to the usual ones; calls a module's actions after it was executed."""

    def __init__(self) -> None:
        self.actions: dict[str, list[Action]] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        # Taken out first, so that the search below doesn't come back here.
        actions = self.actions.pop(name, None)
        if actions is None:
            return None
        spec = find_spec(name)
        if spec is None or spec.loader is None or not hasattr(spec.loader, "exec_module"):
            return spec
        loader, execute = spec.loader, spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            for action in actions:
                _act(name, action, module)

        # On the instance: the module's loader stays the one that everybody expects.
        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


_watcher = _Watcher()


def _act(name: str, action: Action, module: ModuleType) -> None:
    try:
        action(module)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        logger.warning("heapwatch: %s can't be measured, the service goes on: %s", name, text)


def when_imported(name: str, action: Action) -> None:
    """Call `action(module)` now if `name` is imported, else right after its first import.

    What `action` raises is logged, and fails nobody's import.
    """
    module = sys.modules.get(name)
    if module is not None:
        _act(name, action, module)
        return
    _watcher.actions.setdefault(name, []).append(action)
    if _watcher not in sys.meta_path:
        sys.meta_path.insert(0, _watcher)
