"""Installing the dashboards into a running Grafana over its HTTP API."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import niquests
from grafana_client.api import GrafanaApi
from grafana_client.client import (
    GrafanaClientError,
    GrafanaException,
    GrafanaUnauthorizedError,
    TokenAuth,
)

from heapwatch_dashboards.render import documents
from heapwatch_dashboards.sources import Sources

TIMEOUT = 10.0
FOLDER_UID = "heapwatch"
FOLDER_TITLE = "Heapwatch"

_NOT_FOUND = 404


class InstallError(Exception):
    """Grafana could not be reached or refused; the message says what to do."""


def install(address: str, token: str, sources: Sources, report: Callable[[str, str, str], None]) -> None:
    """Put folder, data sources (those with an address) and dashboards into the Grafana at `address`.

    What is there already is replaced. `report` hears of each: "data source" or "dashboard", its name and its
    address. Raises InstallError.
    """
    grafana = _connect(address, token)
    try:
        with closing(grafana.client.s):
            _ensure_folder(grafana)
            for source in sources.documents():
                _put_source(grafana, source)
                report("data source", source["name"], source["url"])
            for uid, document in documents().items():
                answer = _post_dashboard(grafana, document)
                report("dashboard", uid, address.rstrip("/") + answer.get("url", ""))
    except GrafanaUnauthorizedError as error:
        raise InstallError(
            f"{address} refused the token: use one of a service account with the role Admin or Editor"
        ) from error
    except (GrafanaException, niquests.exceptions.RequestException) as error:
        raise InstallError(f"{address}: {error}") from error


def _connect(address: str, token: str) -> Any:
    # grafana-client says that it is typed, but isn't.
    credential = TokenAuth(token)  # type: ignore[no-untyped-call]
    return GrafanaApi.from_url(address, credential=credential, timeout=TIMEOUT)


def _ensure_folder(grafana: Any) -> None:
    if not _found(lambda: grafana.folder.get_folder(FOLDER_UID)):
        grafana.folder.create_folder(FOLDER_TITLE, uid=FOLDER_UID)


def _put_source(grafana: Any, source: dict[str, Any]) -> None:
    if _found(lambda: grafana.datasource.get_datasource_by_uid(source["uid"])):
        grafana.datasource.update_datasource_by_uid(source["uid"], source)
    else:
        grafana.datasource.create_datasource(source)


def _post_dashboard(grafana: Any, document: dict[str, Any]) -> dict[str, Any]:
    wrapped = {
        "dashboard": {**document, "id": None},
        "folderUid": FOLDER_UID,
        "message": "installed by heapwatch",
        "overwrite": True,
    }
    answer: dict[str, Any] = grafana.dashboard.update_dashboard(wrapped)
    return answer


def _found(get: Callable[[], object]) -> bool:
    try:
        get()
    except GrafanaClientError as error:
        if error.status_code == _NOT_FOUND:
            return False
        raise
    return True
