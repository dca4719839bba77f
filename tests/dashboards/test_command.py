"""`heapwatch dashboards`: files for a Grafana, and installation into one.

No registry carries a Grafana server, so installation is tested against a server that speaks the
endpoints it needs and keeps what it is given.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from heapwatch_dashboards import command
from heapwatch_dashboards.render import DASHBOARDS, documents

TOKEN = "glsa_letmein"  # noqa: S105


class Grafana(ThreadingHTTPServer):
    """Keeps folders, data sources and dashboards, as Grafana's HTTP API does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folders: dict[str, Any] = {}
        self.sources: dict[str, Any] = {}
        self.dashboards: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Grafana

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")

    def _answer(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _allowed(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self._body()
        self._answer(401, {"message": "Invalid API key"})
        return False

    def do_GET(self) -> None:
        if not self._allowed():
            return
        kept = {**self.server.folders, **self.server.sources}
        uid = self.path.rsplit("/", 1)[1]
        if uid in kept:
            self._answer(200, kept[uid])
        else:
            self._answer(404, {"message": "not found"})

    def do_POST(self) -> None:
        if not self._allowed():
            return
        body = self._body()
        if self.path == "/api/folders":
            self.server.folders[body["uid"]] = body
            self._answer(200, body)
        elif self.path == "/api/datasources":
            self.server.sources[body["uid"]] = body
            self._answer(200, {"message": "Datasource added"})
        elif self.path == "/api/dashboards/db":
            self._dashboard(body)

    def _dashboard(self, body: Any) -> None:
        uid = body["dashboard"]["uid"]
        if uid in self.server.dashboards and not body["overwrite"]:
            self._answer(412, {"status": "name-exists", "message": "exists"})
        elif body["folderUid"] not in self.server.folders:
            self._answer(400, {"message": "folder not found"})
        else:
            self.server.dashboards[uid] = body["dashboard"]
            self._answer(200, {"status": "success", "uid": uid, "url": f"/d/{uid}/x", "version": 1})

    def do_PUT(self) -> None:
        if self._allowed():
            body = self._body()
            self.server.sources[body["uid"]] = body
            self._answer(200, {"message": "Datasource updated"})


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    with Grafana() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args(words))


@pytest.mark.integration
def test_installs_folder_sources_and_dashboards(grafana: Grafana, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["install", "--url", grafana.url, "--token", TOKEN]
    addresses = ["--prometheus", "http://prometheus:9090", "--collector", "http://collector:4040"]
    assert run(*words, *addresses, "--collector-token", "s3cret") == 0
    installed = {uid: {k: v for k, v in d.items() if k != "id"} for uid, d in grafana.dashboards.items()}
    assert installed == {uid: {k: v for k, v in d.items() if k != "id"} for uid, d in documents().items()}
    assert grafana.folders["heapwatch"]["title"] == "Heapwatch"
    types = {source["type"]: source for source in grafana.sources.values()}
    assert types["prometheus"]["url"] == "http://prometheus:9090"
    profiles = types["grafana-pyroscope-datasource"]
    assert profiles["url"] == "http://collector:4040"
    assert profiles["secureJsonData"] == {"httpHeaderValue1": "Bearer s3cret"}
    said = capsys.readouterr().out
    assert f"{grafana.url}/d/heapwatch-fleet/x" in said


@pytest.mark.integration
def test_what_is_installed_reads_as_json(
    grafana: Grafana, capsys: pytest.CaptureFixture[str], misfits: Callable[[Any, Any], list[str]]
) -> None:
    words = ["install", "--url", grafana.url, "--token", TOKEN, "--collector", "http://collector:4040"]
    assert run(*words, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert misfits(command.SHAPES["install"], told) == []
    assert {each["name"] for each in told["dashboards"]} == set(DASHBOARDS)
    assert [each["url"] for each in told["sources"]] == ["http://collector:4040"]


@pytest.mark.parametrize("action", ["render", "provision"])
def test_files_read_as_json(
    action: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    misfits: Callable[[Any, Any], list[str]],
) -> None:
    assert run(action, "-o", str(tmp_path), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert misfits(command.SHAPES[action], told) == []
    assert {Path(file) for file in told["files"]} == {f for f in tmp_path.rglob("*") if f.is_file()}


@pytest.mark.integration
def test_installing_again_replaces(grafana: Grafana) -> None:
    words = ["install", "--url", grafana.url, "--token", TOKEN, "--collector"]
    assert run(*words, "http://old:4040") == 0
    assert run(*words, "http://new:4040") == 0
    assert [source["url"] for source in grafana.sources.values()] == ["http://new:4040"]
    assert set(grafana.dashboards) == set(DASHBOARDS)


@pytest.mark.integration
def test_a_refused_token_is_explained(grafana: Grafana, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("install", "--url", grafana.url, "--token", "wrong") == 1
    assert "refused the token" in capsys.readouterr().err
    assert grafana.dashboards == {}


def test_a_grafana_that_is_not_there_is_explained(free_port: Any, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert run("install", "--url", url, "--token", TOKEN) == 1
    assert url in capsys.readouterr().err


def test_installing_needs_a_token(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRAFANA_TOKEN", raising=False)
    assert run("install", "--url", "http://127.0.0.1:3000") == 2
    assert "GRAFANA_TOKEN" in capsys.readouterr().err


def test_renders_a_file_per_dashboard(tmp_path: Path) -> None:
    assert run("render", "-o", str(tmp_path / "out")) == 0
    found = {file.stem: json.loads(file.read_text()) for file in (tmp_path / "out").iterdir()}
    assert found == documents()


def test_provisions_sources_and_dashboards(tmp_path: Path) -> None:
    words = ["--collector", "http://collector:4040", "--mounted", "/dashboards"]
    assert run("provision", "-o", str(tmp_path), *words) == 0
    sources = yaml.safe_load((tmp_path / "provisioning/datasources/heapwatch.yaml").read_text())
    assert [(s["type"], s["url"]) for s in sources["datasources"]] == [
        ("prometheus", "http://127.0.0.1:9090"),
        ("grafana-pyroscope-datasource", "http://collector:4040"),
    ]
    provider = yaml.safe_load((tmp_path / "provisioning/dashboards/heapwatch.yaml").read_text())
    assert provider["providers"][0]["options"]["path"] == "/dashboards"
    assert {file.stem for file in (tmp_path / "dashboards").iterdir()} == set(DASHBOARDS)


def test_the_command_module_needs_no_extra() -> None:
    check = (
        "import heapwatch_dashboards.command, sys; "
        "print({name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", check], capture_output=True, text=True, check=True)
    third = {name for name in ast.literal_eval(done.stdout) if not name.startswith(("_", "heapwatch"))}
    assert third == set()
