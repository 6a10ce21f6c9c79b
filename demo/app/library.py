"""Retrieval: the shop's documents, cut into passages, found by their embeddings and ordered by their words."""

import asyncio
import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Final

import genai_observability
import openai

from demo.app.similar import cosine

EMBEDDING_MODEL: Final = "text-embedding-3-small"
_QUESTIONS_KEPT: Final = 12
"""Few, so that the sample application throws some out."""
_DOCUMENTS: Final = Path(__file__).parent / "documents"


@dataclass(frozen=True, slots=True)
class Passage:
    """One paragraph of a document."""

    document: str
    text: str
    number: int = 1

    @property
    def id(self) -> str:
        """By which traces name it: they hold no content."""
        return f"{self.document}#{self.number}"


def read_passages(documents: Path = _DOCUMENTS) -> list[Passage]:
    """The paragraphs of all documents in a folder."""
    return [
        Passage(path.stem, paragraph, number)
        for path in sorted(documents.glob("*.md"))
        for number, paragraph in enumerate(path.read_text(encoding="utf-8").split("\n\n"))
        if not paragraph.startswith("#")
    ]


class Library:
    """The documents. Their embeddings are computed once, when the first question is asked.

    Those of the last questions are kept, as customers ask much the same.
    """

    def __init__(self, client: openai.AsyncOpenAI, passages: Sequence[Passage]) -> None:
        self.passages = passages
        self._client = client
        self._vectors: list[list[float]] = []
        self._indexing = asyncio.Lock()
        self._asked: dict[str, list[float]] = {}
        self._cache = genai_observability.cache("question-embeddings")
        self._cache.size(lambda: len(self._asked))

    @property
    def text(self) -> str:
        """All documents, one after the other."""
        return "\n\n".join(passage.text for passage in self.passages)

    async def search(self, question: str, *, most: int = 3) -> list[Passage]:
        """The passages that fit the question best, best first."""
        return _reranked(question, await self._nearest(question, most=3 * most), most=most)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The embedding of each text."""
        answer = await self._client.embeddings.create(model=EMBEDDING_MODEL, input=list(texts))
        return [item.embedding for item in answer.data]

    async def _nearest(self, question: str, *, most: int) -> list[Passage]:
        with genai_observability.retrieval("shop-documents", top_k=most) as step:
            async with self._indexing:
                if not self._vectors:
                    self._vectors = await self.embed([passage.text for passage in self.passages])
            asked = await self._embedded(question)
            scored = [
                (passage, cosine(asked, vector)) for passage, vector in zip(self.passages, self._vectors, strict=True)
            ]
            found = heapq.nlargest(most, scored, key=itemgetter(1))
            step.documents(found)
        return [passage for passage, _ in found]

    async def _embedded(self, question: str) -> list[float]:
        if known := self._asked.get(question):
            self._cache.hit()
            return known
        self._cache.miss()
        [vector] = await self.embed([question])
        if len(self._asked) >= _QUESTIONS_KEPT:
            self._asked.pop(next(iter(self._asked)), None)
            self._cache.eviction()
        self._asked[question] = vector
        return vector


def _reranked(question: str, passages: Sequence[Passage], *, most: int) -> list[Passage]:
    """Those with most of the question's words first; in the order that they had where that is the same."""
    with genai_observability.rerank("shared-words", top_k=most) as step:
        words = _words(question)
        scored = [(passage, len(words & _words(passage.text)) / max(1, len(words))) for passage in passages]
        best = sorted(scored, key=itemgetter(1), reverse=True)[:most]
        step.documents(best)
    return [passage for passage, _ in best]


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w{4,}", text.lower()))
