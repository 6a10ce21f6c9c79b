"""Reads the usage warehouse: SQL as its reader, who can only select."""

import asyncio
import contextlib
from typing import Any

import asyncpg

from stack.clients._http import TIMEOUT_S, StoreError

_CONNECT_S = 5.0


class Warehouse:
    """The warehouse at ``address``, a ``postgresql://`` address of its reader. Each query has a connection of its own.

    To be used outside of event loops, from any thread.
    """

    def __init__(self, address: str, *, timeout: float = TIMEOUT_S) -> None:
        self._address = address
        self._timeout = timeout

    def rows(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        """The rows of a query by the names of their columns; ``$1`` and so on in it are the arguments.

        Raises:
            StoreError: the warehouse is not reachable, refuses the query or takes too long.
        """
        return asyncio.run(self._rows(sql, arguments))

    async def _rows(self, sql: str, arguments: tuple[object, ...]) -> list[dict[str, Any]]:
        try:
            connection = await asyncpg.connect(self._address, timeout=_CONNECT_S)
        except (OSError, TimeoutError) as error:
            raise StoreError("The warehouse is not reachable; start the stack with `make up`.") from error
        except asyncpg.PostgresError as error:
            raise StoreError(f"The warehouse does not let its reader in: {error}.") from error
        try:
            return [dict(row) for row in await connection.fetch(sql, *arguments, timeout=self._timeout)]
        except TimeoutError as error:
            raise StoreError("The warehouse did not answer in time; `make logs` may say why.") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise StoreError(f"The warehouse refused the query `{sql.strip()}`: {error}") from error
        finally:
            with contextlib.suppress(TimeoutError, OSError):
                await connection.close(timeout=1)
