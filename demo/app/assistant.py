"""The model calls: an answer in one piece, an answer as a stream, a summary, research with a tool, and sorting."""

import json
import logging
import re
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

import genai_observability
import genai_prices
import openai
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.responses import Response

from demo.app.fallback import Fallback
from demo.app.library import Library, Passage
from demo.app.similar import SimilarAnswers

ANSWER_MODEL: Final = "gpt-4o-mini"
STREAM_MODEL: Final = "gpt-4o"
SUMMARY_MODEL: Final = "gpt-4.1-mini"
FALLBACK_MODEL: Final = "gpt-4.1-mini"
"""Answers, streamed or not, where the rate limit of the model above is used up."""
RESEARCH_MODEL: Final = "o4-mini"
SORTING_MODEL: Final = "acme-internal-7b"
"""A model of the shop's own, which no public price table knows."""

MOST_TOKENS: Final = {
    ANSWER_MODEL: 200,
    STREAM_MODEL: 200,
    SUMMARY_MODEL: 300,
    RESEARCH_MODEL: 1000,
    SORTING_MODEL: 20,
}
"""The limit of output tokens of each call, by model."""

MOST_SEARCHES: Final = 3
"""How many of the searches that the research model asks for at once are made."""

PROMPTS: Final = {
    "4": "Answer briefly, from the documents given.",
    "5": "Answer kindly, from the documents given.",
}
"""What the model is told about answers, by version. The documents are in the user's message: an answer that quotes its
instructions would be found as a leak of them, and answers are to quote the documents."""

_RESEARCH: Final = "Research, then answer from the documents."
_SEARCH: Final[ChatCompletionToolParam] = {
    "type": "function",
    "function": {
        "name": "search_documents",
        "description": "Finds passages of the shop's documents.",
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string"}},
            "required": ["query"],
        },
    },
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the user gets. ``response_id`` is what feedback refers to."""

    text: str
    response_id: str
    sources: Sequence[str] = ()


class Assistant:
    """Answers out of a library of documents."""

    def __init__(self, client: openai.AsyncOpenAI, plain_client: openai.OpenAI, library: Library) -> None:
        self._client = client
        self._plain_client = plain_client
        self._library = library
        self._summaries = SimilarAnswers[Answer]("summaries")
        self._answering = Fallback(ANSWER_MODEL, instead=FALLBACK_MODEL)
        self._streaming = Fallback(STREAM_MODEL, instead=FALLBACK_MODEL)

    @genai_observability.workflow("answer")
    async def answer(self, question: str, *, prompt: str) -> Answer:
        """Retrieval, then one chat completion, told what ``prompt`` says."""
        passages = await self._library.search(question)
        messages = _messages(prompt, question, passages)
        completion = await self._answering.ask(
            lambda model: self._client.chat.completions.create(
                model=model, messages=messages, max_tokens=MOST_TOKENS[ANSWER_MODEL]
            )
        )
        text = completion.choices[0].message.content or ""
        _score(text, f"{prompt}\n{question}", passages, completion.id)
        _log.info("answered from %d passages", len(passages))
        return Answer(text, completion.id, _sources(passages))

    async def stream(self, question: str, *, prompt: str) -> AsyncIterator[Answer]:
        """The same, piece by piece; errors before the first piece are raised here, not while iterating."""
        passages = await self._library.search(question)
        messages = _messages(prompt, question, passages)
        chunks = await self._streaming.ask(
            lambda model: self._client.chat.completions.create(
                model=model,
                messages=messages,
                max_tokens=MOST_TOKENS[STREAM_MODEL],
                stream=True,
                stream_options={"include_usage": True},  # without this, the tokens of a stream are not known
            )
        )

        async def pieces() -> AsyncIterator[Answer]:
            text = ""
            async with chunks:  # closed also when the user leaves before the end
                async for chunk in chunks:
                    for choice in chunk.choices:
                        text += choice.delta.content or ""
                        yield Answer(choice.delta.content or "", chunk.id)
            _score(text, f"{prompt}\n{question}", passages, chunk.id)

        return pieces()

    async def summarise(self, topic: str) -> Answer:
        """One call of the Responses API, unless a similar topic was summarised before.

        All documents come first: the provider caches that common beginning.
        """
        [asked] = await self._library.embed([topic])
        if kept := self._summaries.find(asked):
            return kept
        began = time.monotonic()
        response = await self._client.responses.create(
            model=SUMMARY_MODEL,
            instructions="Summarise for customers.",
            input=f"{self._library.text}\n\nWhat matters about {topic}?",
            max_output_tokens=MOST_TOKENS[SUMMARY_MODEL],
        )
        answer = Answer(response.output_text, response.id)
        self._summaries.keep(asked, answer, usd=_price(response), seconds=time.monotonic() - began)
        return answer

    @genai_observability.agent("researcher", version="2", model=RESEARCH_MODEL)
    async def research(self, question: str) -> Answer:
        """A reasoning model that searches by itself: it calls the tool, we run it, it answers."""
        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": _RESEARCH},
            {"role": "user", "content": question},
        ]
        limit = MOST_TOKENS[RESEARCH_MODEL]
        first = await self._client.chat.completions.create(
            model=RESEARCH_MODEL, messages=messages, tools=[_SEARCH], max_completion_tokens=limit
        )
        calls = [call for call in first.choices[0].message.tool_calls or () if call.type == "function"][:MOST_SEARCHES]
        if not calls:
            return Answer(first.choices[0].message.content or "", first.id)
        messages.append(
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.function.name, "arguments": call.function.arguments},
                    }
                    for call in calls
                ],
            }
        )
        found: list[Passage] = []
        for call in calls:
            with genai_observability.tool("search_documents", call_id=call.id, type="function"):
                passages = await self._library.search(_query(call.function.arguments) or question)
            found += passages
            messages.append({"role": "tool", "tool_call_id": call.id, "content": _text(passages)})
        second = await self._client.chat.completions.create(
            model=RESEARCH_MODEL, messages=messages, tools=[_SEARCH], max_completion_tokens=limit
        )
        text = second.choices[0].message.content or ""
        _score(text, f"{_RESEARCH}\n{question}", found, second.id)
        return Answer(text, second.id, _sources(found))

    def sort(self, message: str) -> Answer:
        """Names the team that a message is for, with the plain client, as code without ``async`` does."""
        completion = self._plain_client.chat.completions.create(
            model=SORTING_MODEL,
            messages=[{"role": "user", "content": f"Which team is this message for? {message}"}],
            max_tokens=MOST_TOKENS[SORTING_MODEL],
        )
        return Answer(completion.choices[0].message.content or "", completion.id)


def _messages(prompt: str, question: str, passages: Sequence[Passage]) -> list[ChatCompletionMessageParam]:
    return [
        {"role": "system", "content": prompt},
        {"role": "user", "content": f"{_text(passages)}\n\n{question}"},
    ]


def _price(response: Response) -> float | None:
    """US dollars of an answer, by the price table that comes with the package; ``None`` where it does not know them."""
    if not (usage := response.usage):
        return None
    counts = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.input_tokens_details.cached_tokens,
        output_tokens=usage.output_tokens,
    )
    try:
        return float(genai_prices.calc_price(counts, response.model, provider_id="openai").total_price)
    except LookupError:
        return None


def _text(passages: Sequence[Passage]) -> str:
    return "\n\n".join(passage.text for passage in passages)


def _sources(passages: Sequence[Passage]) -> list[str]:
    return list(dict.fromkeys(passage.document for passage in passages))


def _query(arguments: str) -> str:
    """The tool's argument; a model can write anything, so what is no such JSON is empty."""
    try:
        return str(json.loads(arguments)["query"])
    except (ValueError, KeyError, TypeError):
        _log.warning("the model called the tool with arguments that cannot be read")
        return ""


def _score(text: str, asked: str, passages: Sequence[Passage], response_id: str) -> None:
    """Records which share of the answer's longer words the model was given: simple, and it finds invented answers."""
    words = set(re.findall(r"\w{5,}", text.lower()))
    if not words:
        return
    known = set(re.findall(r"\w{5,}", f"{asked}\n{_text(passages)}".lower()))
    share = len(words & known) / len(words)
    label = "pass" if share >= 0.7 else "fail"
    genai_observability.evaluation("groundedness", score=share, label=label, response_id=response_id)
