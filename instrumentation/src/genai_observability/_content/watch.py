"""What one recording does with content: the one object that the recorder knows."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.util.types import AttributeValue

from genai_observability._content.conversation import Conversation, of_attributes, of_exchange
from genai_observability._content.openai_calls import Exchanges, watch
from genai_observability._content.recorded import content_attributes, is_content, other_attributes
from genai_observability._content.settings import Chosen
from genai_observability._content.threats import Finding, findings

_logger = logging.getLogger("genai_observability")


class ContentWatch:
    """Takes content off every span, and puts on what the application chose to record."""

    def __init__(self, chosen: Chosen, *, is_call: Callable[[Any], bool], on_forgotten: Callable[[], None]) -> None:
        """Watch the calls of OpenAI clients, where anything is to be done with them; ``close`` ends that."""
        self._chosen = chosen
        self._exchanges = Exchanges(on_forgotten=on_forgotten)
        self._failure_level = logging.WARNING
        self.close = watch(self._exchanges, is_call=is_call) if chosen.form or chosen.security else lambda: None
        self.after_fork = self._exchanges.clear

    def look(self, span: ReadableSpan) -> tuple[dict[str, str], list[Finding]]:
        """The content attributes that a finished call's span is to have, and the threats found in it."""
        if not (self._chosen.form or self._chosen.security):
            return {}, []
        try:
            said = self._said(span)
            if said is None:
                return {}, []
            threats = findings(said, self._chosen.patterns) if self._chosen.security else []
            return (content_attributes(said, self._chosen) if self._chosen.form else {}), threats
        except Exception as error:  # messages of an unforeseen shape; the error's text could quote them
            self._complain(error)
            return {}, []

    def attributes(self, span: ReadableSpan) -> Mapping[str, AttributeValue]:
        """The attributes of a span that is no model call, with its content made fit to leave, or without it."""
        attributes = span.attributes or {}
        try:
            made = other_attributes(attributes, self._chosen) if self._chosen.form else {}
        except Exception as error:
            self._complain(error)
            made = {}
        return {**without_content(attributes), **made}

    def _said(self, span: ReadableSpan) -> Conversation | None:
        exchange = self._exchanges.take(span)
        return of_exchange(exchange) if exchange else of_attributes(span.attributes or {})

    def _complain(self, error: Exception) -> None:
        _logger.log(self._failure_level, "The content of a call is left out: %s.", type(error).__name__)
        self._failure_level = logging.DEBUG  # said once


def without_content(attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """Attributes without those that carry content."""
    return {name: value for name, value in attributes.items() if not is_content(name)}
