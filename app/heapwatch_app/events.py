"""Events inside the process: domains tell what happened, others listen, and neither knows the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """`actor` did something that concerns the user `concerns`, about `post` if it was a post (ids)."""

    actor: int
    concerns: int
    post: int | None = None


Listener = Callable[[Event], None]


class Bus:
    """Topics and their listeners. A listener stays until it is unsubscribed."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] = {}

    def subscribe(self, topic: str, listener: Listener) -> None:
        self._listeners.setdefault(topic, []).append(listener)

    def unsubscribe(self, topic: str, listener: Listener) -> None:
        """Take `listener` away; ValueError if it isn't subscribed."""
        self._listeners.get(topic, []).remove(listener)

    def publish(self, topic: str, happened: Event) -> None:
        """Call each listener of `topic` in the order of subscription, in the caller's thread."""
        for listener in tuple(self._listeners.get(topic, ())):
            listener(happened)


BUS = Bus()
"""The bus of this process. Topics: post.liked, post.commented, post.deleted, user.followed."""
