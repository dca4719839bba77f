"""Making, checking and changing accounts."""

from __future__ import annotations

import re
from functools import lru_cache

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from werkzeug.security import check_password_hash, generate_password_hash

from heapwatch_app.accounts.models import User

PASSWORD_LENGTH = range(8, 129)
NAME_LENGTH = 60
BIO_LENGTH = 300

_USERNAME = re.compile(r"[a-z0-9_.]{3,30}")
_RESERVED = {"admin", "explore", "feed", "media", "new", "news", "search", "settings", "static"}


class AccountError(ValueError):
    """An account that can't be made or changed so; the message is for the person who asked."""


def sign_up(db: Session, username: str, name: str, password: str, *, cost: int) -> User:
    """A new user, committed. `cost` as in `hashed`. AccountError if the name is taken or doesn't fit."""
    username = username.strip().lower()
    _check_username(username)
    _check_profile(name, "")
    if len(password) not in PASSWORD_LENGTH:
        raise AccountError(f"The password needs {PASSWORD_LENGTH[0]} to {PASSWORD_LENGTH[-1]} characters.")
    user = User(username=username, name=name.strip(), password_hash=hashed(password, cost))
    db.add(user)
    try:
        db.commit()
    except IntegrityError:
        db.rollback()
        raise AccountError(f"The name {username} is taken. Choose another one.") from None
    return user


def by_password(db: Session, username: str, password: str, *, cost: int) -> User | None:
    """The user with that name and password; as slow for an unknown name as for a known one."""
    user = by_username(db, username.strip().lower())
    known = user.password_hash if user else _nobody(cost)
    return user if check_password_hash(known, password[: PASSWORD_LENGTH[-1]]) and user else None


def by_username(db: Session, username: str) -> User | None:
    """The user of that name."""
    return db.scalar(select(User).where(User.username == username))


def change_profile(db: Session, user: User, name: str, bio: str) -> None:
    """Set name and bio; AccountError if one is too long. The caller commits."""
    _check_profile(name, bio)
    user.name, user.bio = name.strip(), bio.strip()


def hashed(password: str, cost: int) -> str:
    """`password` as it is stored: scrypt with N = 2 ** `cost`, r = 8, p = 1."""
    return generate_password_hash(password, method=f"scrypt:{1 << cost}:8:1")


@lru_cache(maxsize=4)
def _nobody(cost: int) -> str:
    return hashed("nobody", cost)


def _check_username(username: str) -> None:
    if not _USERNAME.fullmatch(username) or username in _RESERVED:
        raise AccountError("Choose a name of 3 to 30 letters a-z, digits, dots or underscores.")


def _check_profile(name: str, bio: str) -> None:
    if len(name) > NAME_LENGTH:
        raise AccountError(f"The full name is longer than {NAME_LENGTH} characters.")
    if len(bio) > BIO_LENGTH:
        raise AccountError(f"The bio is longer than {BIO_LENGTH} characters.")
