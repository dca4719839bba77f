"""The bus between domains."""

from __future__ import annotations

import pytest
from heapwatch_app.events import Bus, Event


def test_listeners_hear_their_topic_in_order_until_they_unsubscribe() -> None:
    bus, heard = Bus(), []
    first, second = (lambda e: heard.append(("first", e.post))), (lambda e: heard.append(("second", e.post)))
    bus.subscribe("liked", first)
    bus.subscribe("liked", second)
    bus.publish("liked", Event(1, 2, 3))
    bus.publish("followed", Event(1, 2))
    bus.unsubscribe("liked", first)
    bus.publish("liked", Event(1, 2, 4))
    assert heard == [("first", 3), ("second", 3), ("second", 4)]


def test_a_listener_may_unsubscribe_while_it_is_called() -> None:
    bus, heard = Bus(), []

    def once(happened: Event) -> None:
        heard.append(happened.post)
        bus.unsubscribe("liked", once)

    bus.subscribe("liked", once)
    bus.publish("liked", Event(1, 2, 3))
    bus.publish("liked", Event(1, 2, 4))
    assert heard == [3]


def test_unsubscribing_a_stranger_is_an_error() -> None:
    with pytest.raises(ValueError, match="not in list"):
        Bus().unsubscribe("liked", print)
