"""What one recording does with content: the one object that the recorder knows."""

import logging
from collections.abc import Callable, Mapping

from opentelemetry.util.types import AttributeValue

from genai_observability._capture.dialogue import Room
from genai_observability._capture.open_calls import FinishedSpan, OpenCall
from genai_observability._content.conversation import of_attributes, of_dialogue
from genai_observability._content.recorded import content_attributes, is_content, other_attributes
from genai_observability._content.settings import Chosen
from genai_observability._content.threats import Finding, findings

_logger = logging.getLogger("genai_observability")


class ContentWatch:
    """Takes content off every span, and puts on what the application chose to record."""

    def __init__(self, chosen: Chosen, *, on_full: Callable[[], None]) -> None:
        """``on_full`` is told of each call for whose content there is no room."""
        self._chosen = chosen
        self._on_full = on_full
        self._failure_level = logging.WARNING
        self.after_fork()

    def after_fork(self) -> None:
        """In a child: the room that the parent's calls take is the parent's."""
        looked_at = self._chosen.form or self._chosen.detect_threats
        self.room = Room(on_full=self._on_full) if looked_at else None
        """Keeps what is asked and answered, where anything is to be done with it."""

    def look(self, span: FinishedSpan, noted: OpenCall | None) -> tuple[dict[str, str], list[Finding]]:
        """The content attributes that a finished call's span is to have, and the threats found in it."""
        if self.room is None:
            return {}, []
        try:
            dialogue = noted.dialogue if noted is not None else None
            said = of_dialogue(dialogue) if dialogue else of_attributes(span.attributes or {})
            if said is None:
                return {}, []
            threats = findings(said, self._chosen.patterns) if self._chosen.detect_threats else []
            return (content_attributes(said, self._chosen) if self._chosen.form else {}), threats
        except Exception as error:  # messages of an unforeseen shape; the error's text could quote them
            self._complain(error)
            return {}, []

    def attributes(self, span: FinishedSpan) -> Mapping[str, AttributeValue]:
        """The attributes of a span that is no model call, with its content made fit to leave, or without it."""
        attributes = span.attributes or {}
        try:
            made = other_attributes(attributes, self._chosen) if self._chosen.form else {}
        except Exception as error:
            self._complain(error)
            made = {}
        return {**without_content(attributes), **made}

    def _complain(self, error: Exception) -> None:
        _logger.log(self._failure_level, "The content of a call is left out: %s.", type(error).__name__)
        self._failure_level = logging.DEBUG  # said once


def without_content(attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """Attributes without those that carry content."""
    return {name: value for name, value in attributes.items() if not is_content(name)}
