"""Django under a real gunicorn and a real uvicorn: by itself and by its middleware."""

from __future__ import annotations

from collections.abc import Callable
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


def test_django_requests_are_measured_by_route(served: Served) -> None:
    for number in (3, 12):
        served.get(f"/shop/comments/{number}/")
    served.get("/shop/keep/a/")
    before = served.endpoints()["GET /shop/keep/<str:name>/"]["retained"]
    served.get("/shop/keep/b/")
    served.get("/shop/nothing/", 404)
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
