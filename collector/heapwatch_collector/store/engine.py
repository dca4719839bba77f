"""The connection to ClickHouse: embedded in a folder, or a server by its address; the same SQL for both."""

from __future__ import annotations

import fcntl
import os
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from heapwatch_collector.store.schema import TABLES, Table

DATABASE = "heapwatch"
_READERS = 4
# A query on the whole retention must not take the machine from those it watches over.
_QUERY_SETTINGS = {"max_threads": 4, "max_memory_usage": 2 << 30, "max_execution_time": 60}
# A batch may reach over any number of weeks: a sender may deliver what it kept for long.
_INSERT_SETTINGS = {"max_partitions_per_insert_block": 0}


class StoreError(Exception):
    """The store can't be opened or doesn't answer; the message says what to do."""


class FolderLock:
    """Keeps a second process out of the store's folder; the kernel lets go when the process ends."""

    def __init__(self, folder: Path) -> None:
        """Raises StoreError when another process holds `folder` or it can't be written."""
        path = folder / "lock"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreError(f"{folder}: {reason}; choose a folder that can be written with --data") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(self._file, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise StoreError(
                f"{folder} is in use by process {owner}: "
                "stop that collector, or choose another folder with --data"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._file)


class Store:
    """Tables in ClickHouse. One writer at a time; reads run side by side with it."""

    def __init__(self, location: str, retention: float) -> None:
        """`location` is a folder or http(s)://USER:PASSWORD@HOST:PORT; `retention` is in seconds.

        Raises StoreError when the store can't be opened.
        """
        self._lock: FolderLock | None = None
        self._location = location
        if not location.startswith(("http://", "https://")):
            self._lock = FolderLock(Path(location))
        try:
            self._prepare(retention)
            self._writer = self._connect(DATABASE, _INSERT_SETTINGS)
            self._readers: queue.SimpleQueue[Client] = queue.SimpleQueue()
            for _ in range(_READERS):
                self._readers.put(self._connect(DATABASE, _QUERY_SETTINGS))
        except (ClickHouseError, OSError) as error:
            reason = str(error).partition("\n")[0][:300]
            raise StoreError(
                f"the store at {_shown(location)} can't be opened: check --data, or choose another; {reason}"
            ) from error

    def insert(self, table: Table, rows: pa.Table) -> None:
        """Append `rows` to `table`; they are on the disk when this returns. Only one thread may call it."""
        self._writer.insert_arrow(table.name, rows)

    def rows(self, sql: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows that `sql` gives; `{name:Type}` in it stands for the parameter `name`.

        Raises ClickHouseError when the query fails.
        """
        with self._reader() as client:
            result = client.query(sql, parameters=parameters or {})
            return [tuple(row) for row in result.result_rows]

    def close(self) -> None:
        """Let go of the store; all threads that use it must have ended."""
        for _ in range(_READERS):
            self._readers.get().close()
        self._writer.close()
        if self._lock:
            self._lock.release()

    @contextmanager
    def _reader(self) -> Iterator[Client]:
        client = self._readers.get()
        try:
            yield client
        finally:
            self._readers.put(client)

    def _prepare(self, retention: float) -> None:
        client = self._connect()
        client.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        client.close()
        client = self._connect(DATABASE)
        for table in TABLES:
            client.command(table.create(retention))
            client.command(table.keep_for(retention))
        client.close()

    def _connect(self, database: str = "default", settings: dict[str, Any] | None = None) -> Client:
        if self._lock:
            path = str(Path(self._location) / "store")
            return clickhouse_connect.get_client(
                interface="chdb", path=path, database=database, settings=settings
            )
        return clickhouse_connect.get_client(
            dsn=self._location,
            database=database,
            settings=settings,
            autogenerate_session_id=False,
        )


def _shown(location: str) -> str:
    """`location` without the password that an address may hold."""
    parts = urlsplit(location)
    return f"{parts.scheme}://{parts.hostname}:{parts.port}" if parts.password else location
