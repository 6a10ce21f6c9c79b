"""The runbook pages: the Markdown files of docs/runbooks, rendered, with queries in the chosen names of metrics."""

import re
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

from stack.vocabulary import translated

_NAME = re.compile(r"[A-Za-z0-9]+")  # no dots and no slashes: a name never leaves the directory


class Runbooks:
    """The runbooks in a directory; each is named after its alert."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # Raw HTML in a page is shown, not interpreted; links are limited to harmless schemes by markdown-it itself.
        self._markdown = MarkdownIt("commonmark", {"html": False}).enable("table")

    def names(self) -> list[str]:
        """The names of all runbooks, sorted."""
        return sorted(path.stem for path in self._directory.glob("*.md") if _NAME.fullmatch(path.stem))

    def html(self, name: str) -> Markup | None:
        """A runbook as HTML, or None where there is none of that name."""
        path = self._directory / f"{name}.md"
        if not _NAME.fullmatch(name) or not path.is_file():
            return None
        text = translated(path.read_text(encoding="utf-8"))
        return Markup(self._markdown.render(text))  # noqa: S704 - rendered without raw HTML
