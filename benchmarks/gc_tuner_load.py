"""The load of `benchmarks.gc_tuner`: people who read page after page of the service without a rest."""

from __future__ import annotations

import http.client
import random
import re
import secrets
import threading
import time
from typing import NamedTuple
from urllib.parse import urlencode

HEADER = "X-Measured"
"""Of each answer: pause and CPU time of its request, in nanoseconds."""
PAGES = ("/feed",) * 9 + ("/explore",) * 6 + ("/p/",) * 9 + ("/search?q=a",) * 4 + ("/news",)
TOKEN = re.compile(rb'name="csrf_token" value="([^"]+)"')
POST = re.compile(rb'href="(/p/\d+)"')


class Seen(NamedTuple):
    """What a request saw; all in seconds. `duration` is the client's, the others are the server's.

    `pause` is CPU time of collections while it ran, `cpu` that of its thread.
    """

    duration: float
    pause: float
    cpu: float


class Reader(threading.Thread):
    """A person with an account, who asks for the next page as soon as the last one is there."""

    def __init__(self, port: int, seed: int) -> None:
        super().__init__(daemon=True)
        self._port, self._dice = port, random.Random(seed)
        self._cookie = ""
        self._halt = threading.Event()
        self._posts: list[bytes] = []
        self.seen: list[Seen] = []
        self.failure = ""

    def run(self) -> None:
        try:
            self._sign_up()
            while not self._halt.is_set():
                self._turn_page()
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            self.failure = repr(error)

    def stop(self) -> None:
        self._halt.set()
        self.join()

    def _sign_up(self) -> None:
        token = TOKEN.search(self._ask("GET", "/signup"))
        name = f"load_{secrets.token_hex(6)}"
        form = {"csrf_token": token[1] if token else b"", "username": name, "name": "Load"}
        self._ask("POST", "/signup", urlencode({**form, "password": secrets.token_hex(8)}))

    def _turn_page(self) -> None:
        path = self._dice.choice(PAGES)
        if path == "/p/":
            path = self._dice.choice(self._posts).decode() if self._posts else "/explore"
        page = self._ask("GET", path)
        if path == "/explore":
            self._posts = POST.findall(page)

    def _ask(self, method: str, path: str, form: str = "") -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        headers = {"Cookie": self._cookie, "Connection": "close"}
        if form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        began = time.perf_counter()
        try:
            connection.request(method, path, form, headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        duration = time.perf_counter() - began
        if answer.status >= 400 or (method == "GET" and answer.status != 200):
            raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
        self._cookie = (answer.getheader("Set-Cookie") or self._cookie).partition(";")[0]
        pause, cpu = (int(number) / 1e9 for number in (answer.getheader(HEADER) or "0 0").split())
        self.seen.append(Seen(duration, pause, cpu))
        return body
