"""Licences: every pin is listed with the licence that its package carries, and none that this project does not take."""

import subprocess
from importlib.metadata import distributions
from pathlib import Path

import pytest

from stack.licences.__main__ import listed, main, page
from stack.licences.pins import GO, NPM, PYTHON, Pin, normalized, pins
from stack.licences.policy import permitted
from stack.licences.reading import UNKNOWN, licence_of, scan
from stack.native import toolchain
from stack.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
LISTED = listed((ROOT / "docs" / "licences.md").read_text())


@pytest.fixture(scope="module")
def go() -> str:
    return toolchain.go(Settings.load().state, minimum=(1, 26), report=print)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one pin of each kind, and its page."""
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "go.mod").write_text("module x\n\ngo 1.26\n\nrequire example.com/store/v3 v3.1.0\n")
    (tmp_path / "constraints.txt").write_text("Some.Thing==1.2\n")
    (tmp_path / "package-lock.json").write_text(
        '{"packages": {"": {}, "node_modules/@a/b": {"version": "3.0.0", "license": "MIT"}}}'
    )
    return tmp_path


def _check(repository: Path, **licences: str) -> int:
    found = {pin: licences.get(pin.kind.split()[0].lower(), "MIT") for pin in pins(repository)}
    (repository / "docs").mkdir(exist_ok=True)
    (repository / "docs" / "licences.md").write_text(page(found))
    return main(["--check"], root=repository)


def test_every_pin_of_this_repository_is_listed_with_a_licence_that_it_takes() -> None:
    wanted = pins(ROOT)
    assert {kind: sum(pin.kind == kind for pin in wanted) > 1 for kind in (GO, PYTHON, NPM)} == {
        GO: True,
        PYTHON: True,
        NPM: True,
    }
    assert wanted == LISTED.keys()
    assert [pin for pin in wanted if not permitted(pin.name, LISTED[pin])] == []


def test_go_mod_files_lists_of_packages_and_npm_lock_files_are_read(repository: Path) -> None:
    (repository / "client-1.txt").write_text("thing==1.0\n")
    expected = {
        Pin(GO, "example.com/store/v3", "v3.1.0"),
        Pin(PYTHON, "some-thing", "1.2"),
        Pin(PYTHON, "thing", "1.0"),
        Pin(NPM, "@a/b", "3.0.0"),
    }
    assert pins(repository) == expected
    assert _check(repository) == 0


@pytest.mark.parametrize("licence", ["AGPL-3.0", "GPL-3.0", "MIT AND AGPL-3.0", "BUSL-1.1", UNKNOWN])
def test_a_licence_that_is_not_taken_is_named_with_its_package(
    repository: Path, licence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _check(repository, go=licence) == 1
    said = f"example.com/store/v3 v3.1.0 has the licence {licence}, which this project does not take.\n"
    assert capsys.readouterr().err == said


def test_a_choice_of_licences_is_taken_if_one_of_them_is(repository: Path) -> None:
    assert _check(repository, python="AGPL-3.0 OR Apache-2.0", npm="BSD-3-Clause AND MIT") == 0


def test_a_pin_that_is_not_listed_fails_the_check(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _check(repository) == 0
    (repository / "constraints.txt").write_text("Some.Thing==1.3\n")
    assert main(["--check"], root=repository) == 1
    assert "docs/licences.md is not up to date: run `make generate`." in capsys.readouterr().err


def test_a_replaced_module_is_refused(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (repository / "server" / "go.mod").open("a") as file:
        file.write("\nreplace example.com/store/v3 => example.com/fork v1.0.0\n")
    assert main(["--check"], root=repository) == 1
    assert "replaces a module: its licence would be that of another one." in capsys.readouterr().err


def test_the_installed_packages_say_what_the_page_says() -> None:
    installed = {Pin(PYTHON, normalized(each.metadata["Name"]), each.version): each for each in distributions()}
    told = {pin: licence_of(installed[pin].metadata) for pin in installed.keys() & LISTED.keys()}  # type: ignore[arg-type]
    compared = {pin: licence for pin, licence in told.items() if licence != UNKNOWN}
    assert len(compared) > 50
    assert compared == {pin: LISTED[pin] for pin in compared}


def test_the_loaded_modules_carry_the_licences_that_the_page_says(go: str) -> None:
    command = [go, "env", "GOMODCACHE"]
    cache = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    places = {pin: cache / f"{_escaped(pin.name)}@{_escaped(pin.version)}" for pin in LISTED if pin.kind == GO}
    loaded = {pin: place for pin, place in places.items() if place.is_dir()}
    assert len(loaded) > 100
    assert dict(zip(loaded, scan(loaded.values(), go=go), strict=True)) == {pin: LISTED[pin] for pin in loaded}


def test_a_folder_without_a_licence_or_with_a_text_that_is_none_has_an_unknown_one(go: str, tmp_path: Path) -> None:
    for name, text in (("none", None), ("other", "All rights reserved.\n")):
        (tmp_path / name).mkdir()
        if text:
            (tmp_path / name / "LICENSE").write_text(text)
    assert scan([ROOT, tmp_path / "none", tmp_path / "other"], go=go) == ["Apache-2.0", UNKNOWN, UNKNOWN]


def _escaped(name: str) -> str:
    """As Go writes capital letters of modules in its cache."""
    return "".join(f"!{letter.lower()}" if letter.isupper() else letter for letter in name)
