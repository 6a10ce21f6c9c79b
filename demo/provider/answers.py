"""Invents answers: text put together from the sentences of the prompt, or a call of the first tool offered."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from demo.provider.models import Model, named
from demo.provider.usage import PromptCache, Usage, tokens

_SENTENCE: Final = re.compile(r"[^.!?\n]+[.!?]")
_OPENINGS: Final = ("Yes.", "In short:", "Here is what I found.", "According to the documents:", "Good question.")
_ASIDES: Final = (
    "Prices and rules can change, so please check before you decide.",
    "Most people find this easier than they expected.",
    "A colleague of the service team is glad to help with anything further.",
)


class BadRequestError(Exception):
    """The request cannot be served; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A request of either API, in common terms."""

    model: str
    texts: Sequence[str]
    question: str
    tools: Mapping[str, Mapping[str, Any]]
    """Name and JSON schema of each tool that may be called now."""
    most_tokens: int | None
    stream: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool that the model wants to have called; ``arguments`` is JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model says, token by token, or the tool it calls."""

    model: str
    pieces: Sequence[str]
    tool: ToolCall | None
    cut: bool
    """Whether the limit of tokens ended the answer."""
    usage: Usage
    first_token: float
    """Seconds from the request to the first token."""
    token: float
    """Seconds from one token to the next."""

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.pieces)

    @property
    def seconds(self) -> float:
        """Until the last token."""
        return self.first_token + self.token * len(self.pieces)


def answer(prompt: Prompt, *, cache: PromptCache, random: Random) -> Answer:
    """Answers a prompt; the same prompt, cache and random numbers give the same answer."""
    model = named(prompt.model)
    asked = [piece for text in prompt.texts for piece in tokens(text)]
    asked += tokens(json.dumps(prompt.tools)) if prompt.tools else []
    tool = _tool_call(prompt, random) if prompt.tools else None
    reasoning = 64 * random.randint(1, 4) if model.reasons else 0
    said = tokens(tool.arguments) if tool else tokens(_text(prompt, random))
    room = max(1, prompt.most_tokens - reasoning) if prompt.most_tokens else len(said)
    pieces = said if tool else said[:room]
    return Answer(
        model=model.snapshot,
        pieces=pieces,
        tool=tool,
        cut=len(pieces) < len(said),
        usage=Usage(
            input_tokens=len(asked),
            cached_tokens=cache.read(model.snapshot, asked),
            output_tokens=len(pieces) + reasoning,
            reasoning_tokens=reasoning,
        ),
        first_token=_jitter(random) * (model.first_token + model.token * reasoning),
        token=_jitter(random) * model.token,
    )


def embedding_seconds(model: Model, random: Random) -> float:
    """How long the vectors take."""
    return model.first_token * _jitter(random)


def _jitter(random: Random) -> float:
    # Latencies are skewed to the right: a long tail of slow answers, none much faster than the median.
    return random.lognormvariate(0.0, 0.25)


def _text(prompt: Prompt, random: Random) -> str:
    known = [sentence.strip() for text in prompt.texts for sentence in _SENTENCE.findall(text)]
    chosen = random.sample(known, min(len(known), random.randint(2, 5)))
    chosen += random.sample(_ASIDES, random.choice((0, 0, 1, 2)))
    return " ".join([random.choice(_OPENINGS), *chosen])


def _tool_call(prompt: Prompt, random: Random) -> ToolCall:
    name, schema = next(iter(prompt.tools.items()))
    properties = schema.get("properties", {})
    values = {key: _value(properties.get(key, {}), prompt.question, random) for key in schema.get("required", ())}
    return ToolCall(name=name, arguments=json.dumps(values))


def _value(schema: Mapping[str, Any], question: str, random: Random) -> object:
    if "enum" in schema:
        return random.choice(schema["enum"])
    samples: dict[str, object] = {"integer": 3, "number": 0.5, "boolean": True, "array": [], "object": {}}
    return samples.get(str(schema.get("type")), question)
