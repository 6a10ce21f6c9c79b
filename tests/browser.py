"""Opens a page, a file or an address, in headless Chromium, as Debian packages it."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import IO, Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--headless",
    "--no-sandbox",  # which root, as in a container, cannot have
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",  # a container's shared memory is small
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-renderer-backgrounding",  # what is not looked at would get little of a busy processor
    "--no-first-run",
    "--hide-scrollbars",
)


class BrowserError(Exception):
    """The page could not be opened."""


def rendered(page: Path | str, *, width: int = 1400, height: int = 1000, fragment: str = "") -> str:
    """The page's HTML once its scripts have run."""
    return _run(page, "--dump-dom", width=width, height=height, fragment=fragment)


def screenshot(page: Path | str, picture: Path, *, width: int = 1400, height: int = 1000, fragment: str = "") -> None:
    """A picture of the page, as PNG."""
    picture.parent.mkdir(parents=True, exist_ok=True)
    _run(page, f"--screenshot={picture.absolute()}", width=width, height=height, fragment=fragment)
    if not picture.is_file():
        raise BrowserError(f"Chromium made no picture of {page}.")


def empty_panels(html: str) -> list[str]:
    """The titles of the panels that say that they have nothing to show."""
    found = _EmptyPanels()
    found.feed(html)
    return [title.strip() for title in found.titles]


class Browser:
    """One Chromium for many pages, by its DevTools protocol: https://chromedevtools.github.io/devtools-protocol/."""

    def __init__(self, commands: IO[bytes], answers: IO[bytes]) -> None:
        self._commands = commands
        self._answers = answers
        self._last = 0
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._on_page("Page.enable")

    def open(self, page: Path, *, width: int = 1400, height: int = 1000, fragment: str = "") -> None:
        """Shows a page and waits until it is loaded."""
        self._on_page(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        address = page.absolute().as_uri() + (f"#{fragment}" if fragment else "")
        if said := self._on_page("Page.navigate", url=address).get("errorText"):
            raise BrowserError(f"Chromium did not load {page}: {said}")
        while self.run("document.readyState") != "complete":
            time.sleep(0.05)

    def run(self, script: str) -> Any:
        """The value of an expression on the page."""
        answer = self._on_page("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{answer['exceptionDetails']}")
        return answer["result"].get("value")

    def picture(self, file: Path) -> None:
        """The whole page, as PNG."""
        file.parent.mkdir(parents=True, exist_ok=True)
        taken = self._on_page("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(taken["data"]))

    def close(self) -> None:
        """Ends Chromium, and with it all of its processes."""
        self._ask("Browser.close")

    def _on_page(self, method: str, **params: object) -> dict[str, Any]:
        return self._ask(method, self._session, **params)

    def _ask(self, method: str, session: str = "", **params: object) -> dict[str, Any]:
        self._last += 1
        command = {"id": self._last, "method": method, "params": params} | ({"sessionId": session} if session else {})
        self._commands.write(json.dumps(command).encode() + b"\0")
        self._commands.flush()
        while (answer := self._next()).get("id") != self._last:
            pass  # an event
        if "error" in answer:
            raise BrowserError(f"Chromium refused {method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _next(self) -> dict[str, Any]:
        message = bytearray()
        while (letter := self._answers.read(1)) != b"\0":
            if not letter:
                raise BrowserError("Chromium ended.")
            message += letter
        answer: dict[str, Any] = json.loads(message)
        return answer


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium while it is needed. It reads commands from its descriptor 3 and answers on 4."""
    inward, commands = os.pipe()
    answers, outward = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        redirected = ["bash", "-c", f'exec "$@" 3<&{inward} 4>&{outward}', "bash"]
        process = subprocess.Popen(
            [*redirected, _chromium(), *_OPTIONS, f"--user-data-dir={profile}", "--remote-debugging-pipe"],
            pass_fds=(inward, outward),
            stderr=subprocess.DEVNULL,
        )
        os.close(inward)
        os.close(outward)
        try:
            with os.fdopen(commands, "wb") as writer, os.fdopen(answers, "rb") as reader:
                opened = Browser(writer, reader)
                yield opened
                opened.close()
        finally:  # without being asked to, it ends when nobody reads its answers
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _chromium() -> str:
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        raise BrowserError("Chromium is missing: install the package `chromium` of your distribution.")
    return found


def _run(page: Path | str, action: str, *, width: int, height: int, fragment: str) -> str:
    address = (page if isinstance(page, str) else page.absolute().as_uri()) + (f"#{fragment}" if fragment else "")
    with tempfile.TemporaryDirectory() as profile:
        command = [
            _chromium(), *_OPTIONS, f"--user-data-dir={profile}", f"--window-size={width},{height}",
            "--virtual-time-budget=5000", action, address,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise BrowserError(f"Chromium ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


class _EmptyPanels(HTMLParser):
    """Collects the first text after each element with ``data-empty="true"``."""

    def __init__(self) -> None:
        super().__init__()
        self.titles: list[str] = []
        self._waiting = False

    def handle_starttag(self, _: str, attributes: list[tuple[str, str | None]]) -> None:
        if ("data-empty", "true") in attributes:
            self._waiting = True

    def handle_data(self, data: str) -> None:
        if self._waiting and data.strip():
            self.titles.append(data)
            self._waiting = False
