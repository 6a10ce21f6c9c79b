"""Serves the ingest of the usage warehouse: ``python -m stack.usage``.

``USAGE_HOST`` is the address to listen on: loopback, unless a container needs 0.0.0.0 inside its own network.
``WAREHOUSE_HOST`` is where the stack's own database is; ``USAGE_DATABASE_URL`` names another one, as its owner.
``THRESHOLDS_FILE`` is read in the place of stack/thresholds.yaml. ``POSTGRES_DATA_DIR`` is where the database keeps its
files, if that can be seen from here: its disk is watched where it is another one than that of the stack's own folder,
which the inbox watches.
"""

import asyncio
import os
import socket
import sys
from pathlib import Path

import uvicorn

from stack.settings import Settings, SettingsError
from stack.thresholds import FILE, Thresholds, ThresholdsError
from stack.usage.app import create_app
from stack.usage.metrics import Metrics
from stack.usage.offenders import Offenders
from stack.usage.schema import SchemaError
from stack.usage.service import Warehouse


def main() -> int:
    """Serve until interrupted; 1 where the service cannot start, or the warehouse is of a newer release."""
    try:
        settings = Settings.load()
        thresholds = Thresholds.load(Path(os.environ.get("THRESHOLDS_FILE") or FILE))
        listener = _listen(os.environ.get("USAGE_HOST", "127.0.0.1"), settings.usage_port)
        asyncio.run(_serve(settings, thresholds, listener))
    except (SettingsError, ThresholdsError, SchemaError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


async def _serve(settings: Settings, thresholds: Thresholds, listener: socket.socket) -> None:
    metrics = Metrics()
    data = Path(os.environ.get("POSTGRES_DATA_DIR") or settings.state)
    if data.is_dir() and data.stat().st_dev != settings.state.stat().st_dev:
        metrics.watch_disk(data)
    warehouse = Warehouse(settings, metrics)
    offenders = Offenders(settings, metrics, thresholds)
    config = uvicorn.Config(
        create_app(warehouse, metrics), http="h11", ws="none", lifespan="off", access_log=False, log_level="warning"
    )
    server = uvicorn.Server(config)
    upkeep = asyncio.create_task(warehouse.keep_up())
    upkeep.add_done_callback(lambda _: setattr(server, "should_exit", True))  # it ends by an error alone
    watch = asyncio.create_task(_watch(warehouse, offenders))
    try:
        await server.serve(sockets=[listener])
        if upkeep.done():
            await upkeep
    finally:
        watch.cancel()
        upkeep.cancel()
        await offenders.close()
        await warehouse.close()


async def _watch(warehouse: Warehouse, offenders: Offenders) -> None:
    while not warehouse.ready:  # its tables may not be there yet
        await asyncio.sleep(0.2)
    await offenders.watch()


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
