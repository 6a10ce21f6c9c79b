"""The virtual environment: made once, repaired when half-made, and a sentence when it cannot be made.

The packages installed here are tiny ones with a build backend of their own, so that no registry is needed.
"""

import ast
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BOOTSTRAP = Path(__file__).resolve().parents[2] / "stack" / "bootstrap.py"

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["{backend}"]
[project]
name = "{name}"
version = "1"
dependencies = {dependencies}
[project.optional-dependencies]
openai = []
dev = []
"""

BACKEND = """\
import pathlib, time, tomllib, zipfile
def build_editable(directory, config_settings=None, metadata_directory=None):
    project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
    name = project["name"]
    time.sleep(float(pathlib.Path("delay").read_text()) if pathlib.Path("delay").exists() else 0)
    metadata = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1\\nProvides-Extra: openai\\nProvides-Extra: dev\\n"
    metadata += "".join(f"Requires-Dist: {each}\\n" for each in project["dependencies"])
    info = f"{name}-1.dist-info"
    with zipfile.ZipFile(f"{directory}/{name}-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return f"{name}-1-py3-none-any.whl"
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with two packages to install, as the real one has."""
    (tmp_path / "stack").mkdir()
    shutil.copy(BOOTSTRAP, tmp_path / "stack")
    _write_packages(tmp_path, dependencies=[])
    (tmp_path / "constraints.txt").write_text("")
    (tmp_path / "backend.py").write_text(BACKEND)
    return tmp_path


def _write_packages(clone: Path, *, dependencies: list[str]) -> None:
    (clone / "instrumentation").mkdir(exist_ok=True)
    (clone / "pyproject.toml").write_text(PYPROJECT.format(backend=".", name="outer", dependencies=dependencies))
    (clone / "instrumentation" / "pyproject.toml").write_text(
        PYPROJECT.format(backend=".", name="inner", dependencies=[])
    )
    (clone / "instrumentation" / "backend.py").write_text(BACKEND)


def _command(clone: Path, *arguments: str, before: str = "") -> list[str]:
    run = f"import runpy, sys; sys.argv = ['bootstrap', *{list(arguments)!r}]; {before or 'pass'}\n"
    return [
        sys.executable,
        "-c",
        f"{run}runpy.run_path({str(clone / 'stack' / 'bootstrap.py')!r}, run_name='__main__')",
    ]


def _bootstrap(clone: Path, *arguments: str, before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(clone, *arguments, before=before),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def _imports(clone: Path) -> bool:
    done = subprocess.run([clone / ".venv" / "bin" / "python", "-c", "import inner, outer"], check=False)
    return done.returncode == 0


def test_python_3_6_can_parse_it() -> None:
    ast.parse(BOOTSTRAP.read_text(encoding="utf-8"), feature_version=(3, 6))


def test_a_python_that_is_too_old_is_named_with_the_way_out(clone: Path) -> None:
    done = _bootstrap(clone, before="sys.version_info = (3, 10, 4)")
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: Python 3.11 or newer is needed; {sys.executable} is Python 3.10. ")
    assert "make PYTHON=python3." in done.stderr
    assert not (clone / ".venv").exists()


def test_a_python_without_the_venv_module_names_the_package_that_has_it(clone: Path) -> None:
    done = _bootstrap(clone, before="sys.modules['ensurepip'] = None")
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: {sys.executable} lacks the module ensurepip, which makes virtual environments. "
        f"On Debian and Ubuntu: apt install python3.{sys.version_info[1]}-venv\n"
    )


def test_the_environment_is_made_once_and_the_second_run_does_nothing_in_no_time(clone: Path) -> None:
    first = _bootstrap(clone)
    assert (first.returncode, first.stderr) == (0, "")
    assert _imports(clone)
    log = (clone / ".stack" / "logs" / "bootstrap.log").stat().st_mtime_ns
    began = time.monotonic()
    second = _bootstrap(clone)
    assert time.monotonic() - began < 1.0  # a twentieth of a second of work; the rest is a busy machine
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert (clone / ".stack" / "logs" / "bootstrap.log").stat().st_mtime_ns == log


def test_a_changed_pin_and_the_packages_for_development_are_installed_into_the_same_environment(clone: Path) -> None:
    assert _bootstrap(clone).returncode == 0
    (clone / ".venv" / "kept").touch()
    assert "Installing" in _bootstrap(clone, "--dev").stdout
    assert _bootstrap(clone).stdout == ""
    (clone / "constraints.txt").write_text("something==1\n")
    assert "Installing" in _bootstrap(clone).stdout
    assert _bootstrap(clone, "--dev").stdout == ""
    assert (clone / ".venv" / "kept").exists()


def test_an_interrupted_run_says_so_and_the_next_one_repairs_the_environment(clone: Path) -> None:
    (clone / "delay").write_text("60")
    with subprocess.Popen(_command(clone), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as command:
        deadline = time.monotonic() + 60
        while not list((clone / ".venv").glob("lib/*/site-packages/pip")) or not _installing(clone):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        command.send_signal(signal.SIGINT)
        _, message = command.communicate(timeout=30)
    assert command.returncode == 130
    assert message == "\nInterrupted: the next run completes the Python environment.\n"
    (clone / "delay").unlink()
    assert _bootstrap(clone).returncode == 0
    assert _imports(clone)


def _installing(clone: Path) -> bool:
    log = clone / ".stack" / "logs" / "bootstrap.log"
    return log.exists() and "Obtaining" in log.read_text()


def test_an_environment_whose_python_is_gone_is_made_anew(clone: Path) -> None:
    assert _bootstrap(clone).returncode == 0
    interpreter = clone / ".venv" / "bin" / "python"
    interpreter.unlink()
    interpreter.symlink_to(clone / "gone")
    assert _bootstrap(clone).returncode == 0
    assert _imports(clone)


def test_two_runs_at_once_make_one_environment(clone: Path) -> None:
    first, second = (
        subprocess.Popen(_command(clone), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    )
    outputs = sorted((first.communicate()[0], second.communicate()[0]), key=len)
    assert (first.returncode, second.returncode) == (0, 0)
    assert outputs[0] == "Another command is making the Python environment: waiting for it\n"
    assert _imports(clone)


def test_an_unreachable_registry_is_said_in_one_sentence(clone: Path) -> None:
    _write_packages(clone, dependencies=["surely-not-installed"])
    done = _bootstrap(clone, PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="1")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "Error: The Python package registry cannot be reached: check the network and the proxy"
    )
    assert done.stderr.count("\n") == 1


def test_a_package_that_cannot_be_installed_shows_the_last_lines_and_the_log(clone: Path) -> None:
    (clone / "backend.py").write_text("raise RuntimeError('no such compiler')")
    done = _bootstrap(clone)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The Python packages cannot be installed.\n")
    assert "no such compiler" in done.stderr
    assert done.stderr.endswith(f"Whole log: {clone}/.stack/logs/bootstrap.log\n")


def test_settings_of_pip_and_python_for_other_places_do_no_harm(clone: Path) -> None:
    done = _bootstrap(clone, PIP_USER="1", PIP_REQUIRE_VIRTUALENV="1", PIP_TARGET=str(clone / "elsewhere"))
    assert (done.returncode, done.stderr) == (0, "")
    assert _imports(clone)
