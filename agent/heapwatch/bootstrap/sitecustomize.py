"""Starts the agent in every Python that finds this folder on its path, as `heapwatch run` arranges.

Python imports `sitecustomize` at start, before the program. There may be another one further down the
path (Debian and some images have one): it runs first, as if this one were not here.
"""

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path


def _run_the_other() -> None:
    here = Path(__file__).resolve().parent
    elsewhere = [entry for entry in sys.path if Path(entry).resolve() != here]
    spec = PathFinder.find_spec("sitecustomize", elsewhere)
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


def _start() -> None:
    # Not above: this Python may not have heapwatch, and the other sitecustomize may change the path.
    try:
        import heapwatch
    except ImportError as error:
        print(f"heapwatch: not started: {error}; install heapwatch for {sys.executable}", file=sys.stderr)
        return
    try:
        heapwatch.start()
    except heapwatch.ConfigError as error:
        print(f"heapwatch: not started: {error}", file=sys.stderr)


try:
    _run_the_other()
finally:
    _start()
