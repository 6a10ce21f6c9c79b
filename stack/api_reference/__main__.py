"""Writes docs/api-reference.md: ``python -m stack.api_reference``; with ``--check`` it only says if it is stale."""

import sys

from stack import generated_page
from stack.api_reference.markdown import page


def main(arguments: list[str] | None = None) -> int:
    """Write or check the page; 1 where a docstring is missing, it cannot be written or, checking, is stale."""
    return generated_page.main("stack.api_reference", "api-reference.md", page, arguments)


if __name__ == "__main__":
    sys.exit(main())
