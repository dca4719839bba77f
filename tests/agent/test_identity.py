"""Who a process says it is."""

from __future__ import annotations

import os
import socket

import pytest
from heapwatch.identity import identify, program_name
from heapwatch_wire.metrics import RESOURCE_ATTRIBUTES
from heapwatch_wire.settings import AgentSettings


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["python3", "-m", "gunicorn", "shop.web:app"], "shop"),
        (["python3", "/bin/gunicorn", "-b", "0.0.0.0:80", "-w", "2", "shop:create_app('x')"], "shop"),
        (["python3", "-c", "d = {a:b}"], "python"),
        (["python3", "-m", "shop.web.main"], "shop"),
        (["/venv/bin/python", "/venv/bin/gunicorn", "-w", "2"], "gunicorn"),
        (["python3", "-X", "dev", "-W", "error", "-u", "worker.py", "x"], "worker"),
        (["python3", "-c", "print(1)"], "python"),
        (["python3"], "python"),
        ([], "python"),
    ],
)
def test_the_program_names_the_service(command: list[str], name: str) -> None:
    assert program_name(command) == name


def test_settings_name_service_and_version() -> None:
    identity = identify(AgentSettings(service="shop", service_version="1.2"))
    assert (identity.service, identity.version) == ("shop", "1.2")
    assert identity.instance.startswith(f"{socket.gethostname()}-{os.getpid()}-")
    assert int(identity.instance.rpartition("-")[2], 16) == int(identity.started)


def test_resource_attributes_are_those_of_the_contract() -> None:
    identity = identify(AgentSettings())
    assert tuple(identity.resource()) == RESOURCE_ATTRIBUTES
    assert identity.profile_labels()["instance"] == identity.instance
    assert identity.profile_labels()["__name__"] == "memory"
