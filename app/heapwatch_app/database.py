"""The database: engine, tables, and the session that belongs to a request."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from flask import Flask, current_app, g
from sqlalchemy import CursorResult, DateTime, Dialect, Engine, UpdateBase, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.types import TypeDecorator

BUSY_TIMEOUT = 15.0
"""Seconds that a SQLite writer waits for another."""

_TABLES_LOCK = 0x6865617077


class Moment(TypeDecorator[datetime]):
    """A point in time, aware and in UTC; SQLite itself would forget the zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC).replace(tzinfo=None) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value else None


class Base(DeclarativeBase):
    """The tables of every domain."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: Moment}


def now() -> datetime:
    """The present, in UTC, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


class Database:
    """An engine and its sessions. `url` as SQLAlchemy spells it; SQLite gets WAL and a busy timeout."""

    def __init__(self, url: str) -> None:
        self.engine = (
            _sqlite_engine(url) if url.startswith("sqlite") else create_engine(url, pool_pre_ping=True)
        )
        self.sessions = sessionmaker(self.engine, expire_on_commit=False)

    def create_tables(self) -> None:
        """Make the missing tables; any number of workers may do so at once."""
        with self._one_at_a_time(), self.engine.begin() as connection:
            if self.engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _TABLES_LOCK})
            Base.metadata.create_all(connection)
        # No connection may be inherited by a worker that is forked from here.
        self.engine.dispose()

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        name = self.engine.url.database
        if self.engine.dialect.name != "sqlite" or not name or name == ":memory:":
            yield
            return
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(path.name + ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with self.engine.connect() as connection:
                connection.execute(text("PRAGMA journal_mode=WAL"))
            yield


def _sqlite_engine(url: str) -> Engine:
    # IMMEDIATE: a writer takes the lock at its first statement, where the busy timeout can wait for it.
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT, "isolation_level": "IMMEDIATE"})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()

    return engine


def attach(app: Flask, database: Database) -> None:
    """Give each request of `app` a session of `database`, closed when the request ends."""
    app.extensions["database"] = database

    @app.teardown_appcontext
    def close(error: BaseException | None) -> None:
        opened: Session | None = g.pop("session", None)
        if opened is not None:
            opened.close()


def session() -> Session:
    """The session of the present request."""
    if "session" not in g:
        database: Database = current_app.extensions["database"]
        g.session = database.sessions()
    opened: Session = g.session
    return opened


def insert_once(db: Session, table: type[Base], **values: Any) -> bool:
    """Insert a row unless one with the same key is there; whether it was inserted."""
    insert = postgresql.insert if db.get_bind().dialect.name == "postgresql" else sqlite.insert
    return changed_rows(db, insert(table).values(**values).on_conflict_do_nothing()) == 1


def changed_rows(db: Session, statement: UpdateBase) -> int:
    """Execute an INSERT, UPDATE or DELETE; how many rows it has changed."""
    result = db.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount
