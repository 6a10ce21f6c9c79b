"""The page as Markdown: a heading a name, its signature, what its docstring says."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import griffe

from stack.api_reference import surface
from stack.api_reference.sections import SECTIONS, Section
from stack.api_reference.signatures import Signatures
from stack.api_reference.surface import PACKAGE, Name
from stack.generated_page import PageError

_TITLE: Final = """\
<!-- Written by `make generate` from the docstrings in instrumentation/src/. Change those, not this page. -->

# API reference
"""

_INTRODUCTION: Final = """\
The examples below begin with the first lines of this one, up to `client`.

Here is everything of `genai_observability` that an application uses. What it emits is in the [catalogue](catalogue.md).

What cannot be recorded is left out, mostly with a warning of the logger `genai_observability`. Given the types that
are shown, nothing raises but what its "Raises" lists.
"""

_COMMANDS: Final = "Without a change of code: [README](../README.md#without-changing-your-code).\n"

_VARIABLES: Final = """\
Set them before the process starts. The [standard variables](https://opentelemetry.io/docs/languages/sdk-configuration/)
of OpenTelemetry's SDK and of its OTLP exporters are honoured too. `OTEL_METRIC_EXPORT_INTERVAL` is 5000 milliseconds
where it is not set, and `OTEL_EXPORTER_OTLP_PROTOCOL` is `http/protobuf`; `grpc` needs the package
`opentelemetry-exporter-otlp-proto-grpc`.
"""

_COLUMNS: Final = 120
_Filled = Sequence[tuple[Section, list[Name]]]


def page() -> str:
    """The whole page.

    Raises:
        PageError: a public name is not documented, or its place on the page is not known.
    """
    package = surface.package()
    filled = list(zip(SECTIONS, surface.sections(package), strict=True))
    signatures = Signatures(package)
    text = "\n".join(
        [
            _TITLE,
            *(_part(part, signatures) for part in surface.documentation(Name(name=PACKAGE, object=package))),
            _INTRODUCTION,
            _contents(filled),
            *_names(filled, signatures),
            "## Command line\n",
            _COMMANDS,
            *_commands(),
            "## Environment variables\n",
            _VARIABLES,
            _table(surface.variables(package)),
        ]
    )
    names = [name for _, section in filled for top in section for name in (top, *top.members)]
    return _linked(text, {name.name: _anchor(_heading(name)) for name in names})


def _contents(filled: _Filled) -> str:
    lines = [f"- {_link(section.title)}: {' · '.join(map(_code, names))}" for section, names in filled]
    return "\n".join([*lines, f"- {_link('Command line')}", f"- {_link('Environment variables')}", ""])


def _names(filled: _Filled, signatures: Signatures) -> Iterator[str]:
    for section, names in filled:
        yield f"## {section.title}\n\n{section.guide}\n"
        for name in names:
            yield from _name(name, signatures, level=3)
            for member in name.members:
                yield from _name(member, signatures, level=4)


def _name(name: Name, signatures: Signatures, *, level: int) -> Iterator[str]:
    yield f"{'#' * level} {_heading(name)}\n"
    if name.givers:
        yield f"Given by {', '.join(f'``{giver}``' for giver in name.givers)}.\n"
    else:
        yield f"```python\n{signatures.signature(name)}\n```\n"
    for part in surface.documentation(name):
        yield _part(part, signatures)


def _heading(name: Name) -> str:
    """The name; a class of which only functions give an object is told from a function of nearly the same name."""
    return f"class `{name.name}`" if name.givers else f"`{name.name}`"


def _part(part: griffe.DocstringSection, signatures: Signatures) -> str:
    if isinstance(part, griffe.DocstringSectionText):
        return f"{part.value}\n"
    if isinstance(part, griffe.DocstringSectionReturns):
        return f"**Returns**: {_flowing(part.value[0].description)}\n"
    if isinstance(part, griffe.DocstringSectionAdmonition) and part.value.kind == "example":
        return f"**Example**\n\n```python\n{part.value.contents}\n```\n"
    if isinstance(part, griffe.DocstringSectionParameters):
        return _list("Parameters", ((f"`{item.name}`", item.description) for item in part.value))
    if isinstance(part, griffe.DocstringSectionAttributes):
        typed = ((f"`{item.name}: {signatures.type(item.annotation)}`", item.description) for item in part.value)
        return _list("Attributes", typed)
    if isinstance(part, griffe.DocstringSectionRaises):
        return _list("Raises", ((f"`{item.annotation}`", item.description) for item in part.value))
    raise PageError(f"A docstring has a part that the API reference has no form for: {part.kind.value}.")


def _list(title: str, items: Iterable[tuple[str, str]]) -> str:
    return f"**{title}**\n\n" + "".join(f"- {term}: {_flowing(meaning)}\n" for term, meaning in items)


def _flowing(text: str) -> str:
    return " ".join(text.split())


def _commands() -> Iterator[str]:
    """What the command says of itself, and of each of its commands."""
    whole = _help()
    commands = re.findall(r"^ {4}(\w+) +\S", whole, re.MULTILINE)
    for command, text in [("", whole), *((f" {name}", _help(name)) for name in commands)]:
        yield f"### `genai-observability{command}`\n\n```text\n{text}```\n"


def _help(*command: str) -> str:
    program = Path(sys.executable).with_name("genai-observability")
    environment = os.environ | {"COLUMNS": str(_COLUMNS), "NO_COLOR": "1"}
    done = subprocess.run(  # noqa: S603 - the package's own command
        [program, *command, "--help"], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise PageError(f"{program} {' '.join(command)} --help failed: {done.stderr.strip()}")
    return done.stdout


def _table(variables: dict[str, str]) -> str:
    rows = [f"| `{name}` | {_flowing(meaning)} |\n" for name, meaning in sorted(variables.items())]
    return "".join(["| variable | |\n", "| --- | --- |\n", *rows])


def _linked(text: str, anchors: Mapping[str, str]) -> str:
    """The text with Markdown's quotes, in which names and guides that are named outside of code lead there."""
    pieces = re.split(r"(^```.*?^```$|^#[^\n]*$)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(piece if piece.startswith(("```", "#")) else _with_links(piece, anchors) for piece in pieces)


def _with_links(text: str, anchors: Mapping[str, str]) -> str:
    def link(match: re.Match[str]) -> str:
        quoted = match[1]
        if anchor := anchors.get(quoted.removesuffix("()")):
            return f"[`{quoted}`](#{anchor})"
        guide = re.fullmatch(r"docs/([\w-]+)\.md", quoted)
        return f"[{guide[1]}]({guide[1]}.md)" if guide else f"`{quoted}`"

    return re.sub(r"``(.+?)``", link, text, flags=re.DOTALL)


def _code(name: Name) -> str:
    return f"``{name.name}``"


def _link(title: str) -> str:
    return f"[{title}](#{_anchor(title)})"


def _anchor(heading: str) -> str:
    """What GitHub calls a heading in links."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
