"""Retrieval: the shop's documents, cut into passages and searched by the similarity of their embeddings."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import genai_observability
import openai

EMBEDDING_MODEL: Final = "text-embedding-3-small"
_QUESTIONS_KEPT: Final = 200
_DOCUMENTS: Final = Path(__file__).parent / "documents"


@dataclass(frozen=True, slots=True)
class Passage:
    """One paragraph of a document."""

    document: str
    text: str


def read_passages(documents: Path = _DOCUMENTS) -> list[Passage]:
    """The paragraphs of all documents in a folder."""
    return [
        Passage(path.stem, paragraph)
        for path in sorted(documents.glob("*.md"))
        for paragraph in path.read_text(encoding="utf-8").split("\n\n")
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

    @property
    def text(self) -> str:
        """All documents, one after the other."""
        return "\n\n".join(passage.text for passage in self.passages)

    async def search(self, question: str, *, most: int = 3) -> list[Passage]:
        """The passages nearest to the question, best first."""
        async with self._indexing:
            if not self._vectors:
                self._vectors = await self._embed([passage.text for passage in self.passages])
        asked = await self._embedded(question)
        order = sorted(range(len(self.passages)), key=lambda index: _cosine(asked, self._vectors[index]), reverse=True)
        return [self.passages[index] for index in order[:most]]

    async def _embedded(self, question: str) -> list[float]:
        if known := self._asked.get(question):
            self._cache.hit()
            return known
        self._cache.miss()
        [vector] = await self._embed([question])
        if len(self._asked) >= _QUESTIONS_KEPT:
            self._asked.pop(next(iter(self._asked)), None)
        self._asked[question] = vector
        return vector

    async def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        answer = await self._client.embeddings.create(model=EMBEDDING_MODEL, input=list(texts))
        return [item.embedding for item in answer.data]


def _cosine(left: Sequence[float], right: Sequence[float]) -> float:
    dot = sum(a * b for a, b in zip(left, right, strict=True))
    return dot / (math.hypot(*left) * math.hypot(*right) or 1.0)
