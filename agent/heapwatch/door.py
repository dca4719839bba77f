"""What a service calls."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from heapwatch_wire.config import ConfigError

from heapwatch.decorating import Function
from heapwatch.failures import logger
from heapwatch.host import Host
from heapwatch.instrument.adapters import look_inside
from heapwatch.instrument.asgi import Application, AsgiMiddleware
from heapwatch.instrument.optional import refuse_when_short
from heapwatch.instrument.tag import Tag
from heapwatch.instrument.wsgi import WsgiMiddleware
from heapwatch.phases import Phase, PhaseReport

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Callback = TypeVar("Callback", bound=Callable[[], object])
MAX_CALLBACKS = 100

host = Host()


def start(service: str = "", **settings: Any) -> None:
    """Start the agent in this process; calling it again does nothing.

    `service` is the name on dashboards (default: the program's name). `settings` are those of the section
    `[agent]`, such as `collector="http://127.0.0.1:4040"`; see docs/configuration.md. Environment variables
    and `heapwatch.toml` fill in the rest.

    Raises ConfigError, naming the setting, its value and what is allowed. Any other failure is logged to
    "heapwatch" and the service goes on without an agent.
    """
    try:
        host.start({"service": service or None, **settings})
    except ConfigError:
        raise
    except Exception as error:
        logger.warning("heapwatch: not started, the service goes on: %s: %s", type(error).__name__, error)


def stop() -> None:
    """Send what waits and stop the agent, within about 2.5 seconds."""
    try:
        host.stop()
    except Exception as error:
        logger.warning("heapwatch: not stopped cleanly: %s: %s", type(error).__name__, error)


def pause() -> None:
    """Take no samples until `resume`; memory that was sampled before is still followed until it is freed.

    The rest of the agent goes on; status()["sampler"]["enabled"] is 0 meanwhile. Without an agent, nothing.
    """
    agent = host.agent
    if agent is not None:
        agent.sampler.stop()


def resume() -> None:
    """Take samples again, at the interval that was in force. What was allocated in between isn't known."""
    agent = host.agent
    if agent is not None:
        agent.sampler.start()


def status() -> dict[str, Any]:
    """What the agent says about itself, as JSON values; {"running": False} without one."""
    agent = host.agent
    return {"running": False} if agent is None else agent.status()


def tag(name: str) -> Tag:
    """Name and measure a piece of work, such as "job resize", inside a `with` or as a decorator.

    The name appears as the endpoint of samples and of metrics; at most 200 are told apart. It follows the
    task or thread that it was set in and what they start with their context, also across awaits. Inside a
    request, the work counts as part of the request, too.
    """
    return Tag(host.resident.requests, name)


def freeze(collect: bool = True) -> int:
    """Take all objects that live now out of the garbage collector's sight; returns how many are out of it.

    Call it when everything is loaded, before workers are forked: collections then don't look at these
    objects, and don't write to the memory pages that workers share. In gunicorn's configuration, with
    preload_app:

        def pre_fork(server, worker):
            heapwatch.freeze()

    Objects are still freed when their last reference goes; cycles among them stay. That is why garbage is
    collected first, unless `collect` is False: then no page gets holes that workers would fill one by one,
    at the price of keeping the garbage. Costs one full collection the first time, little after that. It works
    without an agent, too.
    """
    if collect:
        gc.collect()
    return host.resident.controls.freeze()


def phase(name: str) -> Phase:
    """Measure the memory of a piece of work, inside a `with` or as a decorator, also of coroutine functions.

        with heapwatch.phase("parse") as parse:
            ...
        print(parse.report.peak)

    The report (see PhaseReport) has RSS, its growth and its peak in between, exact where the kernel may be
    asked, else by the sampler; it goes to the log ("heapwatch", INFO) and to the metrics. Phases nest, by
    name "import/parse", and may overlap; what else the process does meanwhile counts, too. Costs some 55 µs,
    and works without an agent.
    """
    return Phase(host.resident.phases, name)


def checkpoint(name: str) -> PhaseReport | None:
    """Log what became of RSS since the checkpoint before, or since the beginning of the phase around it.

    Returns the same; None where /proc can't be read.
    """
    return host.resident.phases.checkpoint(name)


def wsgi(application: WSGIApplication) -> WSGIApplication:
    """`application`, measured request by request. Flask and Django applications are measured without this."""
    look_inside()
    return WsgiMiddleware(application, host.resident.requests)


def asgi(application: Application) -> Application:
    """`application`, measured request by request. Starlette, FastAPI and Django are measured without this.

    It is a middleware for frameworks that take one, too: `app.add_middleware(heapwatch.asgi)`.
    """
    look_inside()
    return AsgiMiddleware(application, host.resident.requests)


def ready() -> bool:
    """Whether this process should get new requests: for the readiness answer that a balancer asks for.

    False while it takes leave or all requests are refused (see docs/defence.md); without an agent True.
    """
    agent = host.agent
    return agent is None or agent.defence is None or agent.defence.ready


def on_pressure(callback: Callback) -> Callback:
    """Have `callback()` called when memory runs short, to drop what can be made again; also as a decorator.

        heapwatch.on_pressure(cache.clear)

    It is called in a thread of the agent, at most every ten seconds, and only with `defence` "act". What it
    raises is counted and logged once. Registering one again does nothing; ValueError beyond 100 of them.
    """
    callbacks = host.resident.on_pressure
    if callback not in callbacks:
        if len(callbacks) >= MAX_CALLBACKS:
            raise ValueError(f"on_pressure knows {MAX_CALLBACKS} callbacks; register one for all caches")
        callbacks.append(callback)
    return callback


def optional(function: Function) -> Function:
    """A view that the service can do without: when memory runs short, its requests get 503 and Retry-After.

    For plain and coroutine functions in applications that the agent measures. Below the route's decorator:

        @app.get("/recommendations")
        @heapwatch.optional
        def recommendations(): ...
    """
    return refuse_when_short(function, host.resident.requests)
