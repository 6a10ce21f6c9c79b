"""A small program that tests build as the servers are built."""

import os
from pathlib import Path

import pytest

from stack.native import toolchain
from stack.native.build import Build
from stack.settings import Settings

SMALL = Build(name="small", module="example.com/small", programs=("hello",), version_variable="main.version", work=1)


def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A repository with one small program to build; Go itself is that of the stack."""
    distribution = tmp_path / "small" / "distribution"
    (distribution / "hello").mkdir(parents=True)
    (distribution / "go.mod").write_text(
        "module example.com/small\n\n// example.com/small v1.2.3\n\ngo 1.24\n\ntool example.com/small/hello\n"
    )
    (distribution / "hello" / "main.go").write_text(
        'package main\n\nvar version = "none"\n\nfunc main() { println("hello", version) }\n'
    )
    go = toolchain.go(Settings.load().state, minimum=(1, 26), report=print)
    monkeypatch.setenv("PATH", f"{Path(go).parent}{os.pathsep}{os.environ['PATH']}")
    return Settings.load({"GENAI_STACK_DIR": str(tmp_path / "state")}, root=tmp_path)
