"""One program a client: its known calls, made as an application would, and said in lines of JSON.

A program runs in the environment of its client, with nothing set up but the variables that lead the client to a
simulated provider. It may import this package's modules, but nothing that is not installed there.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import genai_observability

QUESTION: Final = "What is a trace?"
MODEL: Final = "gpt-4o-mini"


@contextmanager
def known(name: str, calls: int = 1) -> Iterator[None]:
    """The block makes so many calls of a model, which get ``name`` as their feature; what it raises ends it alone."""
    raised = ""
    try:
        with genai_observability.attributed_to(feature=name):
            yield
    except Exception as error:  # the other calls are to be made all the same
        raised = f"{type(error).__name__}: {error}"
    _say({"name": name, "calls": calls, "raised": raised})


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")


class _Warnings(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _say({"warning": record.getMessage()})


for _name in ("genai_observability", "opentelemetry"):
    logging.getLogger(_name).addHandler(_Warnings(logging.WARNING))
