"""Starts the simulated provider: ``python -m demo.provider``.

PROVIDER_PORT (8010) is its port on 127.0.0.1, PROVIDER_SEED (0) makes a run repeatable, PROVIDER_LATENCY (1.0) scales
its waiting times.
"""

import os
import sys

import uvicorn

from demo.provider.app import Provider
from stack.settings import Settings, SettingsError


def main() -> int:
    """Serves until it is ended."""
    try:
        settings = Settings.load()
        provider = Provider(seed=int(_number("PROVIDER_SEED", "0")), latency=_number("PROVIDER_LATENCY", "1.0"))
    except (SettingsError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    uvicorn.run(
        provider.application(),
        host=settings.provider_host,
        port=settings.provider_port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,  # answers that hang on purpose must not hold up the end
        timeout_keep_alive=75,  # longer than clients keep an idle connection, or a call could meet a closing one
    )
    return 0


def _number(variable: str, default: str) -> float:
    text = os.environ.get(variable) or default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ValueError(f"{variable} is {text!r}: it must be a number of at least 0.")
    return value


if __name__ == "__main__":
    sys.exit(main())
