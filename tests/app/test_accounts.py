"""Accounts: sign-up, login, logout, editing a profile."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

Person = Any


def test_sign_up_log_out_and_log_in_again(ann: Person) -> None:
    assert "ann" in ann.text("/feed")
    assert ann.send("/logout").location == "/login"
    ann.username = ""
    assert ann.open("/feed").location == "/login?next=%2Ffeed"
    assert ann.send("/login", username=" ANN ", password="correct horse").location == "/feed"  # noqa: S106
    assert "Edit profile" in ann.text("/u/ann")


def test_the_password_is_stored_as_scrypt_of_the_set_cost(ann: Person, app: Flask) -> None:
    with app.extensions["database"].engine.connect() as connection:
        stored = connection.exec_driver_sql("SELECT password_hash FROM users").scalar_one()
    assert stored.startswith("scrypt:1024:8:1$")
    assert "correct horse" not in stored


def test_a_taken_name_is_refused_in_any_case(ann: Person, visitor: Person) -> None:
    answer = visitor.send("/signup", username="Ann", name="", password="another password")  # noqa: S106
    assert answer.status_code == 400
    assert "The name ann is taken" in answer.text


@pytest.mark.parametrize("name", ["", "ab", "x" * 31, "white space", "a/b", "<b>", "änn", "admin"])
def test_a_name_that_does_not_fit_is_refused(visitor: Person, name: str) -> None:
    answer = visitor.send("/signup", username=name, name="", password="long enough")  # noqa: S106
    assert answer.status_code == 400
    assert "Choose a name of 3 to 30 letters" in answer.text


@pytest.mark.parametrize("password", ["", "short", "x" * 129])
def test_a_password_that_does_not_fit_is_refused(visitor: Person, password: str) -> None:
    answer = visitor.send("/signup", username="carol", name="", password=password)
    assert answer.status_code == 400
    assert "8 to 128 characters" in answer.text


@pytest.mark.parametrize(("name", "password"), [("ann", "wrong"), ("nobody", "correct horse"), ("", "")])
def test_a_wrong_login_says_neither_which_part_nor_enters(
    ann: Person, visitor: Person, name: str, password: str
) -> None:
    answer = visitor.send("/login", username=name, password=password)
    assert answer.status_code == 401
    assert "Name or password is wrong." in answer.text
    assert visitor.open("/feed").status_code == 302


@pytest.mark.parametrize(
    ("target", "landing"),
    [
        ("/u/ann", "/u/ann"),
        ("https://evil.example/", "/feed"),
        ("//evil.example/", "/feed"),
        ("/\\evil.example/", "/feed"),
        ("javascript:alert(1)", "/feed"),
    ],
)
def test_login_leads_only_to_pages_of_this_site(
    ann: Person, visitor: Person, target: str, landing: str
) -> None:
    assert visitor.send("/login", username="ann", password="correct horse", next=target).location == landing  # noqa: S106


def test_a_profile_can_be_changed(ann: Person, photo: bytes) -> None:
    answer = ann.send(
        "/settings", name="Ann Ash", bio="Hills & <i>sea</i>", avatar=(io.BytesIO(photo), "me.jpg")
    )
    assert answer.location == "/u/ann"
    page = ann.text("/u/ann")
    assert "Ann Ash" in page
    assert "Hills &amp; &lt;i&gt;sea&lt;/i&gt;" in page
    assert "/150.jpg" in page


def test_a_bad_avatar_changes_nothing(ann: Person) -> None:
    answer = ann.send("/settings", name="Other", bio="", avatar=(io.BytesIO(b"no photo"), "me.jpg"))
    assert answer.status_code == 400
    assert "a photo we can read" in answer.text
    assert "Other" not in ann.text("/u/ann")


@pytest.mark.parametrize(
    "path", ["/feed", "/new", "/settings", "/news"], ids=["feed", "new", "settings", "news"]
)
def test_pages_of_users_lead_visitors_to_the_login(visitor: Person, path: str) -> None:
    assert visitor.open(path).location.startswith("/login?next=")


def test_a_session_of_a_deleted_user_is_a_visitor(
    ann: Person, app: Flask, person: Callable[[str], Person]
) -> None:
    with app.extensions["database"].engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM users")
    assert ann.open("/feed").status_code == 302
