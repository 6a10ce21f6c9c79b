"""The two packages and the changelog tell the same version."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def version_of(path: str) -> str:
    return str(tomllib.loads((ROOT / path).read_text())["project"]["version"])


def test_one_version_is_written_in_both_packages_and_heads_the_changelog() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert version_of("pyproject.toml") == version_of("instrumentation/pyproject.toml") == headings[0]
