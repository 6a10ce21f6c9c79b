"""Opens a page, a file or an address, in headless Chromium, as Debian packages it."""

import re
import shutil
import subprocess
import tempfile
from html.parser import HTMLParser
from pathlib import Path

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


def undrawn_charts(html: str) -> int:
    """How many charts the page has that its script did not draw."""
    charts = len(re.findall(r"<div[^>]*\bdata-chart=", html))
    return charts - len(re.findall(r'<div class="chart js-plotly-plot"', html))


def _run(page: Path | str, action: str, *, width: int, height: int, fragment: str) -> str:
    browser = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if browser is None:
        raise BrowserError("Chromium is missing: install the package `chromium` of your distribution.")
    address = (page if isinstance(page, str) else page.absolute().as_uri()) + (f"#{fragment}" if fragment else "")
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser, *_OPTIONS, f"--user-data-dir={profile}", f"--window-size={width},{height}",
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
