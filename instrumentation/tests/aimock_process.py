"""aimock, a provider that was written elsewhere, as a process: https://aimock.copilotkit.dev."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.npm import installed, toolchain
from tests.provider import wait_until_answering
from tests.serving import free_port

_FOLDER = Path(__file__).with_name("aimock")


@contextmanager
def aimock(fixtures: Path = _FOLDER / "fixtures.json") -> Iterator[str]:
    """Its address, while it runs with these answers."""
    port = free_port()
    node, npm = toolchain()
    command = [node, str(installed(_FOLDER, npm) / "node_modules/@copilotkit/aimock/dist/cli.js")]
    options = ["--host", "127.0.0.1", "--port", str(port), "--fixtures", str(fixtures)]
    process = subprocess.Popen([*command, *options, "--validate-on-load", "--log-level", "silent"])
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_answering(process, f"{url}/ready", "aimock")
        yield url
    finally:
        process.terminate()
        process.wait(10)
