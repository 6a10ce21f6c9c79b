"""The API reference: every public name, whole, with links that lead somewhere; a name without words fails it."""

import re
from collections.abc import Callable
from pathlib import Path

import genai_observability
import griffe
import pytest

from stack.api_reference import surface
from stack.api_reference.__main__ import main
from stack.api_reference.markdown import page
from stack.api_reference.surface import PACKAGE, Name, documentation, variables
from stack.generated_page import PageError

SOURCE = Path(genai_observability.__file__).parent
PAGE = page()
NAMES = [name for section in surface.sections(surface.package()) for top in section for name in (top, *top.members)]
EACH_NAME = pytest.mark.parametrize("name", NAMES, ids=lambda name: name.name)


def section(name: str) -> str:
    """What the page says of a name: up to the next heading."""
    heading = rf"^#+ (?:class )?`{re.escape(name)}`\n"
    (text,) = re.findall(rf"{heading}(.*?)(?=^#+ [\w ]*`|^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return str(text)


def source(tmp_path: Path, text: str) -> griffe.Module:
    """A package of the same name with other source."""
    folder = tmp_path / PACKAGE
    folder.mkdir()
    (folder / "__init__.py").write_text(text)
    loaded = griffe.load(PACKAGE, search_paths=[tmp_path], allow_inspection=False, docstring_parser="google")
    assert isinstance(loaded, griffe.Module)
    return loaded


def test_everything_public_is_on_the_page_and_what_its_functions_return() -> None:
    named = {name.name for name in NAMES}
    assert set(genai_observability.__all__) <= named
    assert {"asgi.FeedbackEndpoint", "openfeature.FeatureFlagHook", "Step.documents", "Cache.hit"} <= named
    assert {"Handle.shutdown", "Budget.label", "RedisStore.client"} <= named
    assert not any(part.startswith("_") for name in named for part in name.split("."))


@EACH_NAME
def test_nothing_that_a_docstring_says_is_lost(name: Name) -> None:
    assert name.object.docstring
    titles = {"Args:", "Attributes:", "Returns:", "Raises:", "Example:"}
    shown = re.sub(r"\[(`?[\w.()-]+`?)\]\([#\w.-]+\)", r"\1", section(name.name)).replace("`", "")
    said = re.sub(r"``docs/([\w-]+)\.md``", r"\1", name.object.docstring.value).replace("`", "")
    assert [word for word in said.split() if word not in titles and word not in shown] == []


@EACH_NAME
def test_every_parameter_is_in_the_signature_with_its_type_and_described(name: Name) -> None:
    text = section(name.name)
    for parameter in name.parameters:
        assert re.search(rf"\b{parameter.name}: \S", text.partition("```\n")[0])
        assert re.search(rf"^- `{parameter.name}`: \S", text, re.MULTILINE)


def test_headings_are_unique_so_that_links_lead_to_the_right_one() -> None:
    prose = re.sub(r"^```.*?^```", "", PAGE, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#([^)]+)\)", prose)) <= set(anchors)


def test_signatures_show_what_the_packages_own_types_stand_for() -> None:
    assert 'per: Literal["hour", "day", "month"]' in section("Budget")
    assert "depth: float | Callable[[], float] | None" in section("queue_depth")
    assert all(
        len(line) <= 110 for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) for line in code.split("\n")
    )


def test_every_variable_that_the_package_reads_by_a_name_of_its_own_is_listed() -> None:
    read = {
        name for file in SOURCE.rglob("*.py") for name in re.findall(r'"(GENAI_OBSERVABILITY_\w+)"', file.read_text())
    }
    listed = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert len(read) > 5
    assert read == {name for name in listed if name.startswith("GENAI_")}


def test_the_command_is_shown_with_the_help_of_each_of_its_commands() -> None:
    for command in ("genai-observability", "genai-observability run", "genai-observability doctor"):
        assert f"usage: {command} [-h]" in section(command)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (
            "def ask(question: str) -> None: ...",
            r"genai_observability\.ask \(__init__\.py, line 1\) has no docstring\.",
        ),
        ('def ask() -> None:\n    """ """', r"genai_observability\.ask \(__init__\.py, line 1\) has no docstring\."),
        ('def ask(question: str) -> None:\n    """Ask."""', r"The docstring of .*ask .* does not describe question\."),
        (
            'def ask() -> None:\n    """Ask.\n\n    Args:\n        why: Because.\n    """',
            r"The docstring of .*ask .* describes what is not there: why\.",
        ),
        ('class ask:\n    """Ask."""\n    answer: str', r"The docstring of .*ask .* does not describe answer\."),
    ],
)
def test_what_is_not_documented_is_named_in_one_sentence(tmp_path: Path, code: str, sentence: str) -> None:
    found = source(tmp_path, code)["ask"]
    with pytest.raises(PageError, match=sentence):
        documentation(Name(name="ask", object=found))


def test_a_variable_without_a_docstring_is_named(tmp_path: Path) -> None:
    module = source(tmp_path, 'NEW: Final = "GENAI_OBSERVABILITY_NEW"\n')
    with pytest.raises(PageError, match=r"genai_observability\.NEW = 'GENAI_OBSERVABILITY_NEW' has no docstring"):
        variables(module)


def test_a_public_name_without_a_place_is_named_with_the_file_to_change(tmp_path: Path) -> None:
    module = source(tmp_path, '__all__ = ["ask"]\ndef ask() -> None:\n    """Ask."""\n')
    with pytest.raises(
        PageError, match=r"genai_observability\.ask is public and in no section: .* stack/api_reference/sections\.py"
    ):
        surface.sections(module)


def test_a_fault_ends_the_command_with_its_sentence_and_leaves_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = source(tmp_path, '__all__ = ["ask"]\ndef ask() -> None: ...\n')
    package: Callable[[], griffe.Module] = lambda: broken  # noqa: E731
    monkeypatch.setattr(surface, "package", package)
    path = tmp_path / "page.md"
    path.write_text("old")
    assert main(["--output", str(path)]) == 1
    assert re.fullmatch(r"genai_observability\.\w+ is .+\.\n", capsys.readouterr().err)
    assert path.read_text() == "old"


def test_a_stale_page_is_named_with_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "api-reference.md"
    path.write_text("old")
    assert main(["--check", "--output", str(path)]) == 1
    assert capsys.readouterr().err == f"{path} is not up to date: run `make generate`.\n"
    assert path.read_text() == "old"
    assert main(["--output", str(path)]) == 0
    assert main(["--check", "--output", str(path)]) == 0
    assert path.read_text() == PAGE
