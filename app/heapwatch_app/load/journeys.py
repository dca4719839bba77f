"""What users of the site do: sign up, look around, like, comment, follow, post, log out and in again."""

from __future__ import annotations

import random
import re
import secrets
from typing import Any

import gevent  # type: ignore[import-untyped]
from locust import FastHttpUser, task
from urllib3 import encode_multipart_formdata

from heapwatch_app.load.pictures import jpeg

PASSWORD = "a-password-for-load"  # noqa: S105
PHOTOS = tuple(jpeg(number, (960, 720)) for number in range(6))

_dice = random.Random()
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
_TICKET = re.compile(r'name="ticket" value="([^"]+)"')
_POST = re.compile(r'href="/p/(\d+)"')
_PERSON = re.compile(r'class="person" href="/u/([\w.]+)"')
_LIKE = re.compile(r'action="(/p/\d+/(?:un)?like)"')
_THUMB = re.compile(r'src="(/media/\w+/\d+\.jpg)"')
_WORDS = ("ada", "ben", "lake", "moss", "rosa", "sam", "no", "pi")
_REMARKS = ("Lovely!", "Where is this?", "Great light.", "More of these, please.")


class Visitor(FastHttpUser):
    """A person with an account of their own, who looks much more than they write."""

    pause = 1.0
    """Mean seconds between two requests of one user; set from the wanted rate before the start."""

    def on_start(self) -> None:
        self.username = f"load_{secrets.token_hex(6)}"
        self.token = ""
        self.open("/signup")
        self.send("/signup", username=self.username, name="Load", password=PASSWORD)
        for name in _PERSON.findall(self.open("/search?q=a", "/search"))[:8]:
            self.send(f"/u/{name}/follow", "/u/<username>/follow")

    @task(9)
    def read_feed(self) -> None:
        page = self.open("/feed")
        self.look(page)
        if (posts := _POST.findall(page)) and _dice.random() < 0.6:
            self.visit_post(_dice.choice(posts))

    @task(6)
    def explore(self) -> None:
        page = self.open("/explore")
        self.look(page)
        if (posts := _POST.findall(page)) and _dice.random() < 0.6:
            self.visit_post(_dice.choice(posts))

    @task(4)
    def meet_people(self) -> None:
        found = _PERSON.findall(self.open(f"/search?q={_dice.choice(_WORDS)}", "/search"))
        if found:
            name = _dice.choice(found)
            page = self.open(f"/u/{name}", "/u/<username>")
            action = "unfollow" if f"/u/{name}/unfollow" in page else "follow"
            if name != self.username and _dice.random() < 0.3:
                self.send(f"/u/{name}/{action}", f"/u/<username>/{action}")

    @task(1)
    def share_photo(self) -> None:
        ticket = _TICKET.search(self.open("/new"))
        fields: dict[str, Any] = {
            "csrf_token": self.token,
            "ticket": ticket[1] if ticket else "",
            "caption": "From the load.",
            "photo": ("photo.jpg", _dice.choice(PHOTOS), "image/jpeg"),
        }
        body, kind = encode_multipart_formdata(fields)
        self.request("POST", "/new", "/new", data=body, headers={"Content-Type": kind})

    @task(1)
    def read_news(self) -> None:
        self.open("/news")
        self.open(f"/u/{self.username}", "/u/<username>")

    @task(1)
    def come_back(self) -> None:
        self.send("/logout")
        self.open("/login")
        self.send("/login", username=self.username, password=PASSWORD)

    def visit_post(self, post: str) -> None:
        """Look at a post, sometimes like it or write under it."""
        page = self.open(f"/p/{post}", "/p/<int:post_id>")
        action = _LIKE.search(page)
        if action and _dice.random() < 0.4:
            self.send(action[1], re.sub(r"\d+", "<int:post_id>", action[1]))
        if _dice.random() < 0.15:
            remark = _dice.choice(_REMARKS)
            self.send(f"/p/{post}/comments", "/p/<int:post_id>/comments", text=remark)

    def look(self, page: str) -> None:
        """Load one of the pictures, as a browser that has the others in its cache."""
        if (thumbs := _THUMB.findall(page)) and _dice.random() < 0.5:
            self.request("GET", _dice.choice(thumbs), "/media/<name>/<int:size>.jpg")

    def open(self, path: str, name: str = "") -> str:
        """The page at `path`."""
        return self.request("GET", path, name or path)

    def send(self, path: str, name: str = "", **fields: str) -> str:
        """Send a form; the page that follows."""
        return self.request("POST", path, name or path, data={"csrf_token": self.token, **fields})

    def request(self, method: str, path: str, name: str, **arguments: Any) -> str:
        """Wait for the next turn, then ask; the text of the answer. Ending up at the login is a failure."""
        gevent.sleep(self.pause * _dice.uniform(0.5, 1.5))
        with self.client.request(method, path, name=name, catch_response=True, **arguments) as answer:
            text: str = answer.text or ""
            if path not in ("/login", "/logout") and "/login" in (answer.url or ""):
                answer.failure("was sent to the login page")
        if found := _TOKEN.search(text):
            self.token = found[1]
        return text
