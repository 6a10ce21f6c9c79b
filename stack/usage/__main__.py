"""Serves the ingest of the usage warehouse: ``python -m stack.usage``.

``USAGE_HOST`` is the address to listen on: loopback, unless a container needs 0.0.0.0 inside its own network.
``POSTGRES_HOST`` is where the stack's own database is; ``USAGE_DATABASE_URL`` names another one, as its owner.
"""

import asyncio
import os
import socket
import sys

import uvicorn

from stack.settings import Settings, SettingsError
from stack.usage.app import create_app
from stack.usage.metrics import Metrics
from stack.usage.schema import SchemaError
from stack.usage.service import Warehouse


def main() -> int:
    """Serve until interrupted; 1 where the service cannot start, or the warehouse is of a newer release."""
    try:
        settings = Settings.load()
        listener = _listen(os.environ.get("USAGE_HOST", "127.0.0.1"), settings.usage_port)
        asyncio.run(_serve(settings, listener))
    except (SettingsError, SchemaError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


async def _serve(settings: Settings, listener: socket.socket) -> None:
    metrics = Metrics()
    warehouse = Warehouse(settings, metrics)
    config = uvicorn.Config(
        create_app(warehouse, metrics), http="h11", ws="none", lifespan="off", access_log=False, log_level="warning"
    )
    server = uvicorn.Server(config)
    upkeep = asyncio.create_task(warehouse.keep_up())
    upkeep.add_done_callback(lambda _: setattr(server, "should_exit", True))  # it ends by an error alone
    try:
        await server.serve(sockets=[listener])
        if upkeep.done():
            await upkeep
    finally:
        upkeep.cancel()
        await warehouse.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0]
        raise OSError(
            f"The usage service cannot listen on {host}:{port}: {reason}. USAGE_HOST and USAGE_PORT change the address."
        ) from error


if __name__ == "__main__":
    sys.exit(main())
