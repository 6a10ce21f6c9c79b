"""What the end-to-end tests share: a finished demonstration, and waiting for data to arrive."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from stack.settings import Settings

ROOT: Final = Path(__file__).resolve().parents[2]

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Demonstration:
    """A finished run of the demonstration."""

    began: datetime
    ended: datetime
    output: str


def eventually(find: Callable[[], _Found], *, within: float = 30.0) -> _Found:
    """The first value that is true, tried for so many seconds; after that the last one."""
    deadline = time.monotonic() + within
    while not (found := find()) and time.monotonic() < deadline:
        time.sleep(0.3)
    return found


def application(stack: Settings, **more: str) -> dict[str, str]:
    """The environment of an application that sends to the stack, in the names of metrics that this reads; and more."""
    return without_otel(
        OTEL_EXPORTER_OTLP_ENDPOINT=stack.otlp_http_url, OTEL_SEMCONV_STABILITY_OPT_IN=stack.opt_in, **more
    )


def without_otel(**more: str) -> dict[str, str]:
    """This process' environment without settings of OpenTelemetry, and with more."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | more
