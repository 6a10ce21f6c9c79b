"""Private names of other libraries: all that are touched stand in the table, and one that is gone is told."""

import ast
import logging
from collections.abc import Iterator
from pathlib import Path

import genai_observability
import pytest
from genai_observability._capture.private_names import OF_OPENAI, OF_OPENTELEMETRY, PRIVATE_MODULES, missing

from instrumentation.tests.recording import Recording

SOURCE = Path(genai_observability.__file__).parent
TABLE = "private_names.py"
BY_NAME = ("getattr", "hasattr", "setattr", "delattr", "replace")
PUBLIC = {"_replace", "_OTHER"}  # of named tuples, by their documentation; a word of the conventions


def is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name != "__stream__") and name not in PUBLIC


def own(trees: list[ast.Module]) -> Iterator[str]:
    """The names that the package gives itself."""
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield node.name
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                    yield node.attr
            elif isinstance(node, ast.Assign) and any(getattr(each, "id", "") == "__slots__" for each in node.targets):
                yield from (each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant))  # type: ignore[misc]


def touched(tree: ast.Module) -> Iterator[str]:
    """Private names and modules in a module: attributes, imports, and names given as texts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("genai_observability"):
            if any(map(is_private, node.module.split("."))):
                yield node.module
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if any(map(is_private, alias.name.split("."))))
        elif isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if called in BY_NAME:
                yield from (
                    each.value for each in node.args if isinstance(each, ast.Constant) and each.value is not None
                )  # type: ignore[misc]
        elif isinstance(node, ast.FunctionDef) and node.name == "_get_attributes":  # in the place of an inherited one
            yield node.name


def test_only_the_folder_of_the_export_imports_the_sdk() -> None:
    importing = {
        path.relative_to(SOURCE).parts[0]
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (getattr(node, "module", None), *(alias.name for alias in node.names))
        if name and name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))
    }
    assert importing == {"_export"}


def test_every_private_name_of_another_library_stands_in_the_table_with_its_reason() -> None:
    trees = {path: ast.parse(path.read_text()) for path in SOURCE.rglob("*.py") if path.name != TABLE}
    ours = set(own(list(trees.values()))) - {"_get_attributes"}
    found = {name for tree in trees.values() for name in touched(tree) if isinstance(name, str)}
    names = {name for name in found - ours if is_private(name) and "." not in name}
    modules = {name for name in found if "." in name and any(map(is_private, name.split(".")))}
    table = {each.name for each in (*OF_OPENAI, *OF_OPENTELEMETRY)}
    assert names <= table | {"_log_exporter"}
    known = {*PRIVATE_MODULES, "opentelemetry.exporter.otlp.proto.common._log_encoder"}
    assert {module for module in modules if not module.startswith(tuple(known))} == set()
    assert all(each.why and each.lost for each in (*OF_OPENAI, *OF_OPENTELEMETRY))
    assert len(table) <= 37  # half of what there was: 75


def test_the_installed_versions_have_every_name_of_the_table() -> None:
    assert [each for each in (*OF_OPENAI, *OF_OPENTELEMETRY) if each.is_gone] == []


def test_a_name_that_is_gone_is_told_once_with_what_is_no_longer_recorded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr("openai._base_client.BaseClient._should_retry")
    assert {each.name for each in missing()} == {"_should_retry"}
    with caplog.at_level(logging.WARNING):
        recording = Recording()
    recording.close()
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == "With this version of openai some is not recorded: which attempts were refused."
