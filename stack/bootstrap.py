"""Makes the virtual environment `.venv`: the first thing every make target does.

Runs under whatever Python the user has, with nothing but the standard library. Python 3.6 must be able to parse this
file, so that a Python that is too old ends with a sentence, not with a syntax error.
"""

import argparse
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 -- this is the check
    _newer = [name for name in ("python3.14", "python3.13", "python3.12", "python3.11") if shutil.which(name)]
    sys.exit(
        "Error: Python 3.11 or newer is needed; {} is Python {}.{}. {}".format(
            sys.executable,
            sys.version_info[0],
            sys.version_info[1],
            f"Try: make PYTHON={_newer[0]}" if _newer else "Install one, then: make PYTHON=python3.12",
        )
    )

_ROOT = Path(__file__).resolve().parents[1]
_SOURCES = ("pyproject.toml", "instrumentation/pyproject.toml", "constraints.txt")
_UNREACHABLE = re.compile(
    "Failed to establish a new connection|Temporary failure in name resolution|Connection refused|Connection timed out"
    "|ProxyError|SSLError|ConnectTimeoutError|ReadTimeoutError|NewConnectionError|Network is unreachable",
    re.IGNORECASE,
)
_FOR_OTHER_PLACES = ("PYTHONHOME", "PYTHONPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV")
"""Variables with which a user may steer pip and Python elsewhere; here they would break the environment."""


class BootstrapError(Exception):
    """The environment cannot be made; the message says what to do."""


def main(root: Path = _ROOT) -> int:
    """Makes or updates `.venv` unless it is complete already."""
    parser = argparse.ArgumentParser(description="Makes the virtual environment .venv.")
    parser.add_argument("--dev", action="store_true", help="with what the tests and checks need")
    dev = parser.parse_args().dev
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if not _is_complete(root, dev=dev):
            _make(root, dev=dev)
    except BootstrapError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted: the next run completes the Python environment.\n")
        return 130
    return 0


def _make(root: Path, *, dev: bool) -> None:
    logs = root / ".stack" / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with (root / ".stack" / "bootstrap.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("Another command is making the Python environment: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_complete(root, dev=dev):
            return
        previous = _stamp(root).read_text() if _stamp(root).exists() else ""
        _stamp(root).unlink(missing_ok=True)  # what is interrupted from here on is begun anew
        log = logs / "bootstrap.log"
        log.write_bytes(b"")
        if not previous or not _works(root):
            _create(root, log)
        dev = dev or previous.startswith("dev ")
        _install(root, log, dev=dev)
        _stamp(root).write_text(_expected(root, dev=dev))


def _create(root: Path, log: Path) -> None:
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise BootstrapError(
            f"{sys.executable} lacks the module {missing[0]}, which makes virtual environments. "
            f"On Debian and Ubuntu: apt install python3.{sys.version_info[1]}-venv"
        )
    _say("Making the Python environment in .venv")
    _run([sys.executable, "-m", "venv", "--clear", str(root / ".venv")], log, what="The virtual environment")


def _install(root: Path, log: Path, *, dev: bool) -> None:
    _say("Installing the Python packages into .venv (about half a minute)")
    pip = [str(root / ".venv" / "bin" / "python"), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    packages = ["-e", "{}[openai]".format(root / "instrumentation"), "-e", "{}{}".format(root, "[dev]" if dev else "")]
    _run([*pip, "-c", str(root / "constraints.txt"), *packages], log, what="The Python packages")


def _run(command: "list[str]", log: Path, *, what: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in _FOR_OTHER_PLACES}
    began = time.monotonic()
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603 -- fixed commands
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while child.poll() is None:
                time.sleep(0.2)
                if sys.stdout.isatty():
                    sys.stdout.write(f"\r  {time.monotonic() - began:.0f} s ")
                    sys.stdout.flush()
        except BaseException:
            child.terminate()
            child.wait()
            raise
        finally:
            if sys.stdout.isatty():
                sys.stdout.write("\r         \r")
    if child.returncode == 0:
        return
    lines = log.read_text(errors="replace").splitlines()
    if _UNREACHABLE.search("\n".join(lines)):
        raise BootstrapError(
            "The Python package registry cannot be reached: check the network and the proxy settings "
            f"(HTTPS_PROXY, PIP_INDEX_URL). Whole log: {log}"
        )
    tail = "\n".join("    " + line for line in lines[-15:])
    raise BootstrapError(f"{what} cannot be installed.\n{tail}\nWhole log: {log}")


def _is_complete(root: Path, *, dev: bool) -> bool:
    try:
        stamp = _stamp(root).read_text()
    except OSError:
        return False
    return stamp in {_expected(root, dev=True), _expected(root, dev=dev)} and _works(root)


def _works(root: Path) -> bool:
    """Whether the environment belongs to the Python that runs now, and that Python is still where it was."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return (root / ".venv" / "bin" / "python").exists() and (root / ".venv" / "lib" / version).is_dir()


def _expected(root: Path, *, dev: bool) -> str:
    digest = hashlib.sha256(str(root).encode())  # a moved clone needs its packages installed anew
    for name in _SOURCES:
        digest.update((root / name).read_bytes())
    return f"{'dev' if dev else 'run'} {digest.hexdigest()}"


def _stamp(root: Path) -> Path:
    return root / ".venv" / ".complete"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
