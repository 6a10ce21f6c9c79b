"""The simulated provider as a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.serving import free_port


@contextmanager
def running_provider(*, latency: float) -> Iterator[str]:
    """The address of a fresh provider; ``latency`` scales its waiting times, 1.0 is that of a real one."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {"PROVIDER_PORT": str(port), "PROVIDER_LATENCY": str(latency)}
    process = subprocess.Popen([sys.executable, "-m", "demo.provider"], env=environment)
    try:
        wait_until_answering(process, f"{url}/healthz", "The simulated provider")
        yield url
    finally:
        process.terminate()
        process.wait(10)


def wait_until_answering(process: "subprocess.Popen[bytes]", url: str, name: str) -> None:
    """Wait until the process answers at its address; RuntimeError where it ends, or does not within 20 seconds."""
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise RuntimeError(f"{name} did not answer at {url}.")
