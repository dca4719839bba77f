"""Deliveries over TLS: to a collector whose certificate is trusted, and to one whose isn't."""

from __future__ import annotations

import logging
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from heapwatch.delivery import Courier, Delivery
from heapwatch.failures import Failures
from heapwatch_wire.settings import AgentSettings

if TYPE_CHECKING:
    from conftest import Collector

pytestmark = pytest.mark.integration

REFUSED = "its certificate is refused, self-signed certificate: name a file with the certificate of its"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, and its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("making a certificate needs openssl")
    path = tmp_path_factory.mktemp("tls") / "collector.pem"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=collector", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(path), "-out", str(path.with_suffix(".crt"))]
    subprocess.run([openssl, "req", *kind, *names, *files], check=True, capture_output=True)
    with path.open("a") as file:
        file.write(path.with_suffix(".crt").read_text())
    return path


@pytest.fixture
def secure(collector: Collector, certificate: Path) -> Collector:
    """The collector, whose connections are encrypted from now on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    collector.socket = context.wrap_socket(collector.socket, server_side=True, do_handshake_on_connect=False)
    return collector


def address(collector: Collector) -> str:
    return collector.url.replace("http:", "https:")


def test_a_collector_whose_authority_is_known_gets_deliveries(
    secure: Collector, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    courier = Courier(AgentSettings(collector=address(secure), push_timeout=60.0), Failures())
    for body in (b"first", b"second"):
        courier.offer(Delivery("metrics", "/v1/metrics", "application/x-protobuf", body))
    courier.deliver()
    assert [received.body for received in secure.received] == [b"first", b"second"]
    assert (courier.delivered, len(courier)) == (2, 0)


def test_a_collector_that_nobody_vouches_for_gets_nothing_and_the_log_says_why(
    secure: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    failures = Failures()
    courier = Courier(AgentSettings(collector=address(secure), push_timeout=60.0), failures)
    courier.offer(Delivery("metrics", "/v1/metrics", "application/x-protobuf", b"first"))
    with caplog.at_level(logging.WARNING):
        courier.deliver()
    assert f"{address(secure)}: {REFUSED}" in caplog.text
    assert "authority in SSL_CERT_FILE" in caplog.text
    assert (dict(failures.counts), len(courier), secure.attempts) == ({"delivery": 1}, 1, [])
