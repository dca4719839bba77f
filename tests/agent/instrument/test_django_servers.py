"""Django under a real gunicorn and a real uvicorn: by itself and by its middleware."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Served

pytest.importorskip("django")
pytestmark = pytest.mark.integration

DJANGO = """
import os
from django.conf import settings
settings.configure(
    SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF="shop", INSTALLED_APPS=[],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db"}},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    MIDDLEWARE=os.environ["MIDDLEWARE"].split(), HEAPWATCH={"enabled": True},
)
import django
django.setup()
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpResponse
from django.template import engines
from django.urls import include, path
from tell import counted

kept = []
page = engines["django"].from_string("{% for row in rows %}<p>{{ row }}</p>{% endfor %}")

def comments(request, number):
    with connection.cursor() as cursor:
        for post in range(number):
            cursor.execute("SELECT %s", [post])
    return HttpResponse(page.render({"rows": range(1000)}))

async def keep(request, name):
    kept.append([bytes(1000) for _ in range(1000)])
    return HttpResponse(name)

def tell(request):
    return HttpResponse(counted())

urlpatterns = [
    path("shop/", include([path("comments/<int:number>/", comments), path("keep/<str:name>/", keep)])),
    path("counted", tell),
]
app = get_asgi_application() if os.environ["SERVER"] == "asgi" else get_wsgi_application()
"""


AUTOMATIC = {"MIDDLEWARE": ""}
EXPLICIT = {
    "MIDDLEWARE": "heapwatch.django.Middleware",
    "HEAPWATCH_ENABLED": "off",
    "HEAPWATCH_INSTRUMENT": "off",
}
BOTH = {"MIDDLEWARE": "heapwatch.django.Middleware"}


@pytest.fixture(
    params=[
        ("gunicorn", "wsgi", AUTOMATIC),
        ("uvicorn", "asgi", AUTOMATIC),
        ("gunicorn", "wsgi", EXPLICIT),
        ("uvicorn", "asgi", EXPLICIT),
        ("gunicorn", "wsgi", BOTH),
    ],
    ids=["wsgi", "asgi", "wsgi-middleware", "asgi-middleware", "wsgi-both"],
)
def served(request: pytest.FixtureRequest) -> Served:
    server, protocol, environment = request.param
    start: Callable[..., Any] = request.getfixturevalue(server)
    served: Served = start(DJANGO, SERVER=protocol, **environment)
    return served


def test_django_requests_are_measured_by_route(served: Served, wait_until: Callable[..., Any]) -> None:
    def once_ended(name: str, requests: int) -> Any:
        """Totals of an endpoint: a client may have its answer before the server is done with the request."""

        def ended() -> Any:
            totals = served.endpoints().get(name, {"outcomes": {}})
            return totals if sum(totals["outcomes"].values()) == requests else None

        return wait_until(ended)

    for number in (3, 12):
        served.get(f"/shop/comments/{number}/")
    served.get("/shop/keep/a/")
    before = once_ended("GET /shop/keep/<str:name>/", 1)["retained"]
    served.get("/shop/keep/b/")
    served.get("/shop/nothing/", 404)
    for name, requests in (("GET /shop/keep/<str:name>/", 2), ("GET", 1)):
        once_ended(name, requests)
    told = served.endpoints()
    comments, keep = told["GET /shop/comments/<int:number>/"], told["GET /shop/keep/<str:name>/"]
    assert comments["outcomes"] == {"200": 2}
    assert told["GET"]["outcomes"] == {"404": 1}
    assert 2 * keep["retained"] - before == pytest.approx(1_033_000, rel=0.2)
    assert comments["queries"] == 7.5
    assert comments["repeated"] == 11
    [(statement, (requests, most, line))] = comments["repeats"].items()
    assert (statement, requests, most) == ("SELECT %s", 1, 12)
    assert line.startswith("comments (")
    assert "shop.py:" in line
    assert 0 < comments["template_seconds"] < 2 * comments["seconds"]
    assert 0 < comments["query_seconds"] < 2 * comments["seconds"]
    assert keep["cpu_known"] == 2


REFUSED = """
import asyncio, json
from django.conf import settings
settings.configure(
    SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, INSTALLED_APPS=[],
    MIDDLEWARE=["heapwatch.django.Middleware"], HEAPWATCH={"instrument": False},
)
import django, heapwatch
django.setup()
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import path
from heapwatch.door import host
from heapwatch.instrument.guard import Refusal

class Guard:
    def refuse(self, path):
        return Refusal(503, 7) if path == "/no" else None
    def refuse_optional(self):
        return Refusal(507, 3)
    def call(self, request, application, *arguments):
        return application(*arguments)
    async def attend(self, request, served):
        await served

@heapwatch.optional
def optional(request):
    return HttpResponse("done")

@heapwatch.optional
async def optional_later(request):
    return HttpResponse("done")

urlpatterns = [path("optional", optional), path("later", optional_later), path("no", optional)]
paths = ("/optional", "/later", "/no")

async def ask():
    return [await AsyncClient().get(path) for path in paths]

Client().get("/optional")
host.resident.requests.guard = Guard()
answers = [*map(Client().get, paths), *asyncio.run(ask())]
counted = {
    totals.endpoint.name: {outcome.status: sum(d.counts) for outcome, d in totals.outcomes.items()}
    for totals in host.resident.requests.totals()
}
print(json.dumps([[(answer.status_code, answer["Retry-After"]) for answer in answers], counted]))
"""


def test_the_middleware_answers_for_a_service_that_is_short_of_memory(tmp_path: Path) -> None:
    environment = {**os.environ, "HEAPWATCH_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", REFUSED], env=environment, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    answers, counted = json.loads(done.stdout)
    assert answers == [[507, "3"], [507, "3"], [503, "7"]] * 2
    assert counted == {"GET /optional": {"200": 1, "507": 2}, "GET /later": {"507": 2}}
