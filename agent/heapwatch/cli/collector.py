"""What the collector knows of a service, for commands that look at more than one machine."""

from __future__ import annotations

import http.client
import json
import os
import urllib.parse
from typing import Any

from heapwatch_wire.config import load
from heapwatch_wire.evidence import Evidence, EvidenceError, from_json
from heapwatch_wire.settings import AgentSettings

from heapwatch.cli.options import Failure
from heapwatch.delivery import Address

DEFAULT = "http://127.0.0.1:4040"
TIMEOUT = 15.0
MEND = "heapwatch serve starts one; --collector or HEAPWATCH_COLLECTOR names it, HEAPWATCH_TOKEN its token"


class Collector:
    """The collector at `address`; "" is the one that agents here send to, else the usual one of this machine.

    Every failure is a Failure that says what to do.
    """

    def __init__(self, address: str = "") -> None:
        settings = load(AgentSettings, "agent", environ=os.environ)
        self._address = Address(address or settings.collector or DEFAULT)
        self._token = settings.token

    def leaks(self, service: str, version: str = "") -> tuple[list[Evidence], list[str]]:
        """What is judged to grow in the latest analyses of `service`, and a sentence on each analysis.

        Where nothing was analyzed yet: what its processes suspect by themselves.
        """
        query = {"service": service, **({"version": version} if version else {})}
        analyses = [a for a in self._get("/api/v1/analyses", query)["analyses"] if a["service"] == service]
        if not analyses:
            found = self._get(f"/api/v1/services/{urllib.parse.quote(service, safe='')}/evidence", query)
            return self._documents([d["evidence"] for d in found["documents"]]), []
        heads = [
            f"{service} {a['version']}: {a['status']}, {a['instances']} instances judged".replace("  ", " ")
            for a in analyses
        ]
        return self._documents([verdict for a in analyses for verdict in a["verdicts"]]), heads

    def _documents(self, values: list[Any]) -> list[Evidence]:
        try:
            return [from_json(Evidence, value) for value in values]
        except EvidenceError as error:
            raise Failure(f"{self._address.text} has documents of another version: {error}") from None

    def _get(self, path: str, query: dict[str, str]) -> Any:
        kind = http.client.HTTPSConnection if self._address.secure else http.client.HTTPConnection
        connection = kind(self._address.host, self._address.port, timeout=TIMEOUT)
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            connection.request(
                "GET", f"{self._address.base}{path}?{urllib.parse.urlencode(query)}", headers=headers
            )
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Failure(f"the collector {self._address.text} can't be asked: {error}", MEND) from None
        finally:
            connection.close()
        try:
            value = json.loads(body)
        except ValueError:
            raise Failure(f"{self._address.text} is no Heapwatch collector", MEND) from None
        if answer.status != 200:
            told = value if isinstance(value, dict) else {}
            mend = str(told.get("mend") or MEND)
            raise Failure(f"the collector refuses: {told.get('error', f'HTTP {answer.status}')}", mend)
        return value
