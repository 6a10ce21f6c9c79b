"""The warehouse as the service sees it: reached or not, up to date or not, one batch at a time."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from pathlib import Path
from typing import Any, Final, TypeAlias

import asyncpg

from stack.settings import Settings
from stack.usage import schema
from stack.usage.metrics import Metrics
from stack.usage.records import Batch
from stack.usage.store import Stored, prepare, store
from stack.warehouse import INGEST, OWNER, READER, address

CONNECT_S: Final = 5.0
_STORE_S: Final = 60.0
"""A batch takes a second on a busy machine: what takes longer waits for a lock or a disk, and is sent again."""
_UPKEEP_S: Final = 60.0

Connection: TypeAlias = "asyncpg.Connection[Any]"
FAILURES: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
"""What a warehouse that cannot be used now raises."""


class UnavailableError(Exception):
    """The warehouse takes nothing now; the message says why. What was sent is to be sent again."""


class Warehouse:
    """Stores batches, and sees to it that the schema and the partitions are there.

    A warehouse that is away is no failure of the service: it says so, refuses batches for the time being, and tries
    again.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._addresses = {role: address(settings, role) for role in (OWNER, INGEST, READER)}
        self._alone = not settings.usage_database_url
        self._folder: Path = settings.root / "postgres"
        self._metrics = metrics
        self._connection: Connection | None = None
        self._current = False
        self._busy = asyncio.Lock()
        self._failed = asyncio.Event()
        self._trouble: str | None = None

    @property
    def ready(self) -> bool:
        """Whether the last thing that was asked of the warehouse was done."""
        return self._current and self._trouble is None

    async def store(self, batch: Batch) -> Stored:
        """Stores a batch; when it returns, it is committed.

        Raises:
            UnavailableError: nothing of it is stored.
        """
        async with self._busy:
            try:
                connection = await self._connected()
                began = time.monotonic()
                async with asyncio.timeout(_STORE_S):
                    stored = await store(connection, batch)
            except schema.SchemaError as error:  # of which the service ends
                raise UnavailableError(str(error)) from error
            except FAILURES as error:
                raise await self._unavailable(error) from error
            self._well()
            self._metrics.stored(stored, batch, seconds=time.monotonic() - began)
            return stored

    async def calls_of(self, trace_id: str) -> int:
        """How many calls of a trace are stored.

        Raises:
            UnavailableError: the warehouse cannot be asked.
        """
        async with self._busy:
            try:
                connection = await self._connected()
                counted = "SELECT count(*) FROM calls WHERE trace_id = $1"
                return int(await connection.fetchval(counted, trace_id.replace("\0", ""), timeout=CONNECT_S))
            except FAILURES as error:
                raise await self._unavailable(error) from error

    async def keep_up(self) -> None:
        """Looks after the warehouse until it is cancelled.

        Raises:
            schema.SchemaError: the schema is newer than this program.
        """
        while True:
            pause = _UPKEEP_S
            try:
                async with self._busy:
                    connection = await self._connected()
                    async with asyncio.timeout(_STORE_S):
                        await self._look_after(connection)
                self._well()
            except FAILURES as error:
                await self._let_go()
                self._troubled(error)
                pause = 1.0
            self._failed.clear()
            with contextlib.suppress(TimeoutError):  # after a failure at once, to find out when it is over
                await asyncio.wait_for(self._failed.wait(), pause)

    async def close(self) -> None:
        """Closes the connection."""
        await self._let_go()

    async def _look_after(self, connection: Connection) -> None:
        await connection.execute(f"SELECT make_partitions(now(), now() + interval '{schema.AHEAD}')")
        if figures := await connection.fetchrow(_FIGURES):
            self._metrics.observe(figures)

    async def _connected(self) -> Connection:
        if not self._current:
            await self._bring_up_to_date()
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self._addresses[INGEST], timeout=CONNECT_S)
            await prepare(self._connection)
        return self._connection

    async def _bring_up_to_date(self) -> None:
        owner = await asyncpg.connect(self._addresses[OWNER], timeout=CONNECT_S)
        try:
            passwords = {role: schema.password_of(self._addresses[role]) for role in (INGEST, READER)}
            await schema.bring_up_to_date(owner, self._folder, passwords, alone=self._alone)
        finally:
            await owner.close()
        self._current = True

    async def _let_go(self) -> None:
        if self._connection:
            self._connection.terminate()
            self._connection = None

    async def _unavailable(self, error: BaseException) -> UnavailableError:
        await self._let_go()
        self._failed.set()
        return UnavailableError(self._troubled(error))

    def _troubled(self, error: BaseException) -> str:
        text = sentence(error)
        self._metrics.up.set(0)
        if self._trouble != text:  # once, not at every attempt
            _say(text)
        self._trouble = text
        return text

    def _well(self) -> None:
        self._metrics.up.set(1)
        if self._trouble:
            _say("The warehouse takes calls again.")
        self._trouble = None


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the log may be on the disk that is full
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


_FIGURES: Final = """
    SELECT extract(epoch FROM partitions_until() - now())::float8 AS partitions_ahead,
           pg_database_size(current_database())::float8 AS bytes,
           coalesce((SELECT extract(epoch FROM max(now() - query_start)) FROM pg_stat_activity
                     WHERE state = 'active' AND pid <> pg_backend_pid() AND backend_type = 'client backend'
                       AND application_name <> 'pg_dump'), 0)::float8 AS longest_query -- a backup may take hours
"""


def sentence(error: BaseException) -> str:
    """Why the warehouse cannot be used now, and what to do."""
    if isinstance(error, asyncpg.InvalidPasswordError | asyncpg.InvalidAuthorizationSpecificationError):
        return (
            f"The warehouse refuses the password ({error}): that in secrets/ or in USAGE_DATABASE_URL is not the "
            "database's."
        )
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return f"The warehouse's database is missing ({error}): create it, or correct USAGE_DATABASE_URL."
    if isinstance(error, asyncpg.DiskFullError):
        return f"The warehouse's disk is full ({error}): free some space; calls wait in the Collector's queue."
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return f"The warehouse is read-only ({error}): name a primary server in USAGE_DATABASE_URL, not a replica."
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return f"The warehouse's owner may not do what is needed ({error}): USAGE_DATABASE_URL must name the owner."
    if isinstance(error, asyncpg.LockNotAvailableError):
        return f"The warehouse is locked by somebody ({error}): see pg_locks; calls wait in the Collector's queue."
    if isinstance(error, TimeoutError):
        return "The warehouse does not answer in time; calls wait in the Collector's queue."
    return f"The warehouse cannot be reached ({error or type(error).__name__}); calls wait in the Collector's queue."
