"""What one recording does with content: the attributes in which a span carries it, redacted, cut and small enough."""

import functools
import json
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from genai_observability import signals
from genai_observability._capture.open_calls import FinishedSpan, OpenCall, Room
from genai_observability._content.conversation import Conversation, Message, Part, of_attributes, of_dialogue, parsed
from genai_observability._content.settings import Chosen
from genai_observability._content.threats import Finding, findings
from genai_observability._context.identity import keyed_hash
from genai_observability._detection import find

_logger = logging.getLogger("genai_observability")

BYTES_A_SPAN: Final = 32_768
"""Of content, as UTF-8, on one span."""
SPANS_AN_EXPORT: Final = 64
"""With them an export has at most 2 MiB of content: a gRPC server accepts 4 MiB, the Collector's HTTP receiver 20."""

_NOTE: Final = 100  # bytes that are always left for a note
_BRACKETS: Final = 8
_SPARE: Final = 1_000  # bytes for brackets and commas at the outside
_MARGIN: Final = 300  # characters behind the cut that are searched too: what begins before it is found whole
_DEEPEST: Final = 10
_LONGEST_NAME: Final = 100
_LARGEST: Final = 10**30  # a number with more digits is left out
_SHORTEST_TELLING: Final = 6  # digits of a number that may be a password, a phone number or more
_SHORT: Final = ("type", "id", "name", "modality", "mime_type", "role", "finish_reason")
"""What a part or message is called, besides what it says."""

_CONTENT: Final = {attribute.name for attribute in signals.CONTENT} | {
    "gen_ai.tool.call.arguments", "gen_ai.tool.call.result", "gen_ai.retrieval.documents",
    "gen_ai.retrieval.query.text", "gen_ai.prompt", "gen_ai.completion",
    # Pydantic AI's own, some of them in the older formats that it still has:
    "pydantic_ai.all_messages", "final_result", "model_request_parameters", "tool_arguments", "tool_response",
    "pydantic_ai.tool.deferral.metadata", "pydantic_ai.decision.state", "pydantic_ai.decision.answers",
    "inputs", "embeddings", "prompt",
}  # fmt: skip
_PROMPT: Final = (signals.PROMPT_NAME.name, signals.PROMPT_VERSION.name)


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
            if (said := of_dialogue(dialogue) if dialogue else of_attributes(span.attributes or {})) is not None:
                threats = findings(said, self._chosen.patterns) if self._chosen.detect_threats else []
                return (_content_attributes(said, self._chosen) if self._chosen.form else {}), threats
        except Exception as error:  # messages of an unforeseen shape; the error's text could quote them
            self._complain(error)
        return {}, []

    def attributes(self, span: FinishedSpan) -> Mapping[str, AttributeValue]:
        """The attributes of a span that is no model call, with its content made fit to leave, or without it."""
        attributes, made = span.attributes or {}, dict[str, str]()
        try:
            made = _other_attributes(attributes, self._chosen) if self._chosen.form else {}
        except Exception as error:
            self._complain(error)
        return {**without_content(attributes), **made}

    def _complain(self, error: Exception) -> None:
        _logger.log(self._failure_level, "The content of a call is left out: %s.", type(error).__name__)
        self._failure_level = logging.DEBUG  # said once


def without_content(attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """Attributes without those that carry content."""
    return {name: value for name, value in attributes.items() if not is_content(name)}


@functools.lru_cache(maxsize=1024)
def is_content(name: str) -> bool:
    """Whether an attribute of this name carries content on a GenAI span, by the conventions of today or of before."""
    return name in _CONTENT or (name.startswith(("gen_ai.prompt.", "gen_ai.completion.")) and name not in _PROMPT)


def _content_attributes(said: Conversation, chosen: Chosen) -> dict[str, str]:
    """The attributes for one call, each a JSON text.

    The answer and the system instructions get half of the room at most; then come the newest messages, older ones, and
    the tools, as long as there is room.
    """
    room = _Room(chosen)
    room.left //= 2
    outputs = room.messages(said.outputs)
    system = [room.part(part) for part in said.system if room.left > 0]
    room.left += (BYTES_A_SPAN - _SPARE) // 2
    inputs = room.messages(said.inputs[::-1])[::-1]
    tools = [room.part(tool) for tool in said.tools if room.left > 0 and isinstance(tool, dict)]
    found = zip(signals.CONTENT, (inputs, outputs, system, tools), strict=True)
    return {attribute.name: _json(items) for attribute, items in found if items}


def _other_attributes(attributes: Mapping[str, AttributeValue], chosen: Chosen) -> dict[str, str]:
    """The content attributes of a span that is no model call, such as a tool's."""
    room = _Room(chosen)
    return {
        name: made if isinstance(made := room.value(parsed(value)), str) else _json(made)
        for name, value in attributes.items()
        if is_content(name) and room.left > 0
    }


class _Room:
    """What is left of a span's room for content, and how each value is made fit to leave the process."""

    def __init__(self, chosen: Chosen) -> None:
        self._chosen = chosen
        self.left = BYTES_A_SPAN - _SPARE

    def messages(self, messages: list[Message]) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        for message in messages:
            if self.left <= _NOTE:
                note = {"type": "text", "content": f"[{len(messages) - len(made)} more messages]"}
                return [*made, {"role": self.short(message["role"]), "parts": [note]}]
            frame = {name: self.short(message[name]) for name in ("role", "name", "finish_reason") if message.get(name)}
            made.append(frame | {"parts": [self.part(part) for part in message["parts"] if self.left > _NOTE]})
        return made

    def part(self, part: Part) -> dict[str, Any]:
        medium = part.get("type") in ("blob", "file", "uri")
        self.left -= _BRACKETS
        return {
            name: self.short(value) if medium or name in _SHORT else self.value(value)
            for name, value in part.items()
            if isinstance(name, str) and value is not None
        }

    def short(self, value: Any) -> str:
        return self._fitting(self._redacted(value if isinstance(value, str) else "[…]", longest=_LONGEST_NAME))

    def value(self, value: Any, *, name: str = "", depth: int = _DEEPEST) -> Any:
        """A value of any shape, with every text in it redacted and cut, or replaced by its hash."""
        self.left -= _BRACKETS
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, dict) and depth:
            return {
                self.short(key): self.value(inner, name=str(key)[:_LONGEST_NAME], depth=depth - 1)
                for key, inner in value.items()
                if self.left > 0
            }
        if isinstance(value, (list, tuple)) and depth:
            return [self.value(inner, name=name, depth=depth - 1) for inner in value if self.left > 0]
        if isinstance(value, (int, float)):
            return self._number(value, name)
        text = value if isinstance(value, str) else f"[{type(value).__name__}]"
        if self._chosen.form == "hash":
            return self._fitting(f"hmac-sha256:{keyed_hash(text)}")
        return self._fitting(self._redacted(text, longest=self._chosen.longest, name=name))

    def _number(self, value: float, name: str) -> Any:
        text = str(value) if abs(value) < _LARGEST else "[number]"  # also for what JSON has no word for: NaN, infinity
        if self._chosen.form == "hash":
            return self._fitting(f"hmac-sha256:{keyed_hash(text)}")
        telling = isinstance(value, int) and len(text) >= _SHORTEST_TELLING
        redacted = self._redacted(text, longest=_LONGEST_NAME, name=name) if telling else text
        self.left -= len(redacted)
        return value if redacted == text and math.isfinite(value) else redacted

    def _redacted(self, text: str, *, longest: int, name: str = "") -> str:
        """The text redacted and cut. Its name is searched too: it can say what the text is, such as a password."""
        lead = f"{name}: " if name else ""
        window = lead + text[: longest + _MARGIN]
        pieces: list[str] = []
        at, end = len(lead), len(lead) + longest
        for match in find(window, self._chosen.patterns):
            if match.start >= end:
                break
            if match.end > at:
                pieces += (window[at : max(at, match.start)], f"[{match.kind}]")
                at = match.end
        pieces.append(window[at:end])
        if len(text) > longest:
            pieces.append(f"… [{len(text):,} characters]")
        return "".join(pieces)

    def _fitting(self, text: str) -> str:
        """The text, cut to what there is room for."""
        while (size := len(_json(text).encode())) > max(self.left, _NOTE):
            text = text[: len(text) * max(self.left, _NOTE) // size - 2] + "…"
        self.left -= size
        return text


def _json(value: Any) -> str:
    """As JSON. A lone surrogate, which no text in UTF-8 can have and which would fail the export, becomes a ``?``."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()
