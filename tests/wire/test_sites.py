"""Whose line is named: responsible frame, own caller, the site's name."""

from __future__ import annotations

from heapwatch_wire.sites import UNKNOWN, Frame, is_native, own_caller, responsible, site_id

STDLIB = Frame("loads", "/usr/lib/python3.11/json/__init__.py", 346)
FROZEN = Frame("_call", "<frozen importlib._bootstrap>", 241)
MADE = Frame("__create_fn__.<locals>.__init__", "<string>", 2)
PACKAGE = Frame("Session.get", "/srv/env/lib/python3.12/site-packages/requests/sessions.py", 602)
DEBIAN = Frame("f", "/usr/lib/python3/dist-packages/yaml/__init__.py", 1)
COMMAND = Frame("<module>", "/srv/env/bin/gunicorn", 8)
OWN = Frame("view", "/srv/shop/views.py", 12)
ORJSON = Frame("[native]", "/srv/env/lib/python3.12/site-packages/orjson/orjson.cpython-312.so", 0)
ZLIB = Frame("inflateInit2_", "/usr/lib/x86_64-linux-gnu/libz.so.1.2.13", 0)
UWSGI = Frame("[native]", "/usr/bin/uwsgi", 0)


def test_library_code_is_passed_over_for_whoever_called_it() -> None:
    assert responsible((STDLIB, FROZEN, MADE, PACKAGE, OWN)) == PACKAGE
    assert responsible((DEBIAN, OWN)) == DEBIAN


def test_a_stack_of_library_code_alone_names_its_innermost_frame() -> None:
    assert responsible((STDLIB, FROZEN)) == STDLIB
    assert responsible(()) == UNKNOWN


def test_the_users_own_frame_is_neither_library_nor_package() -> None:
    assert own_caller((STDLIB, PACKAGE, DEBIAN, MADE, OWN)) == OWN
    assert own_caller((STDLIB, PACKAGE, COMMAND)) is None
    assert own_caller((PACKAGE, COMMAND._replace(function="work"))) is not None


def test_the_line_of_python_answers_for_the_library_it_calls() -> None:
    assert responsible((ORJSON, OWN)) == OWN
    assert responsible((ZLIB, STDLIB, PACKAGE)) == PACKAGE
    assert responsible((ZLIB, STDLIB)) == STDLIB
    assert own_caller((ZLIB, STDLIB, OWN)) == OWN


def test_native_code_without_python_answers_for_itself() -> None:
    for frame in (ORJSON, ZLIB, UWSGI):
        assert is_native(frame)
        assert responsible((frame,)) == frame
        assert own_caller((frame,)) is None
    assert not any(map(is_native, (STDLIB, FROZEN, MADE, PACKAGE, OWN, UNKNOWN)))


def test_a_site_has_one_name_everywhere_and_sites_have_different_ones() -> None:
    assert site_id(OWN) == "cc671930e4daa1b6"
    assert len({site_id(f) for f in (OWN, OWN._replace(line=13), OWN._replace(function="x"), PACKAGE)}) == 4


def test_any_file_name_can_be_named() -> None:
    assert len(site_id(Frame("f", "/srv/\udce4.py", 1))) == 16
