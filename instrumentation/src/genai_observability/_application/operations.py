"""What an application tells of its caches, and of what it does where a provider fails it."""

import logging
from typing import Final, Literal, get_args

from genai_observability import signals
from genai_observability._context.attribution import text
from genai_observability._instrument import recorder
from genai_observability._record.measures import Source, set_gauge

_logger = logging.getLogger("genai_observability")

State = Literal["closed", "open", "half_open"]
_STATES: Final = get_args(State)


def fallback(
    *,
    from_model: str,
    to_model: str,
    from_provider: str | None = None,
    to_provider: str | None = None,
    reason: str | None = None,
) -> None:
    """Count that a call went to another model or provider than was meant.

    All arguments are metric labels: give names that your code chooses from.

    Args:
        from_model: The model that was given up.
        to_model: The model that took its place.
        from_provider: The provider that was given up.
        to_provider: The provider that took its place.
        reason: Why, in a word: ``"rate_limited"``, ``"timeout"``, ``"cost"``.

    Example:
        genai_observability.fallback(from_model="gpt-4o", to_model="gpt-4o-mini", reason="rate_limited")
    """
    if (recording := recorder()) is not None:
        given = {
            signals.FALLBACK_FROM_PROVIDER: from_provider,
            signals.FALLBACK_FROM_MODEL: from_model,
            signals.FALLBACK_TO_PROVIDER: to_provider,
            signals.FALLBACK_TO_MODEL: to_model,
            signals.FALLBACK_REASON: reason,
        }
        labels = {attribute.name: text(value) for attribute, value in given.items() if value is not None}
        recording.measure(signals.FALLBACKS, 1, labels)


def circuit_breaker(name: str, *, state: State) -> None:
    """Say in which state a circuit breaker is, whenever that changes.

    Args:
        name: What it protects, such as a provider's name.
        state: ``"closed"``, ``"open"`` or ``"half_open"``; anything else is left out with a warning.

    Example:
        genai_observability.circuit_breaker("openai", state="open")
    """
    if state not in _STATES:
        states = ", ".join(_STATES)
        _logger.warning("The state of a circuit breaker is left out: %.50r is none of: %s.", state, states)
        return
    for each in _STATES:
        set_gauge(signals.BREAKERS, (text(name), each), float(each == state))


def queue_depth(name: str, depth: Source | None) -> None:
    """Export how much waits in a queue.

    Args:
        name: Name of the queue: one of at most 100, as it is a metric label.
        depth: The number, or a function that returns it, such as ``queue.qsize``: it is called at each export, on
            another thread, and must be quick. ``None`` ends the export.

    Example:
        import queue

        waiting: queue.Queue[str] = queue.Queue()
        genai_observability.queue_depth("ingest", waiting.qsize)
    """
    set_gauge(signals.QUEUE_DEPTH, (text(name),), depth)


class Cache:
    """A cache of the application's, by whose name its hits and misses are counted. Made by ``cache()`` alone.

    Amounts that are negative or no finite number are left out. Without ``instrument()`` nothing is counted.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = text(name)

    def hit(
        self,
        *,
        similarity: float | None = None,
        age: float | None = None,
        saved_usd: float | None = None,
        saved_seconds: float | None = None,
    ) -> None:
        """An answer came from the cache.

        Args:
            similarity: Of the question to the one in the cache, 0 to 1.
            age: Seconds since the answer was put there.
            saved_usd: What the call would have cost, in US dollars: what it cost when it was made.
            saved_seconds: How long the call would have taken.
        """
        self._count("hit", similarity)
        self._measure(signals.CACHE_AGE, age)
        self._measure(signals.CACHE_SAVED_COST, saved_usd)
        self._measure(signals.CACHE_SAVED_TIME, saved_seconds)

    def miss(self, *, similarity: float | None = None) -> None:
        """Nothing in the cache would do.

        Args:
            similarity: Of the question to the nearest one in the cache, 0 to 1.
        """
        self._count("miss", similarity)

    def false_hit(self, *, similarity: float | None = None) -> None:
        """A hit, counted as such before, turned out to be the wrong answer.

        Args:
            similarity: What it was at the hit, 0 to 1.
        """
        self._count("false_hit", similarity)

    def eviction(self, *, entries: int = 1) -> None:
        """Entries were thrown out to make room, or were too old.

        Args:
            entries: How many.
        """
        self._measure(signals.CACHE_EVICTIONS, entries)

    def size(self, entries: Source | None) -> None:
        """Export how many entries are in the cache.

        Args:
            entries: The number, or a function that returns it: it is called at each export, on another thread, and must
                be quick. ``None`` ends the export.
        """
        set_gauge(signals.CACHE_SIZE, (self._name,), entries)

    def _count(self, result: str, similarity: float | None) -> None:
        self._measure(signals.CACHE_REQUESTS, 1, result)
        self._measure(signals.CACHE_SIMILARITY, similarity, result)

    def _measure(self, metric: signals.Metric, amount: float | None, result: str = "") -> None:
        if amount is not None and (recording := recorder()) is not None:
            labels = {signals.CACHE_NAME.name: self._name, signals.CACHE_RESULT.name: result}
            recording.measure(metric, amount, labels)


def cache(name: str) -> Cache:
    """Count hits, misses and savings of a cache of answers.

    Args:
        name: One of a few names, as it is a metric label.

    Example:
        semantic = genai_observability.cache("semantic")
        semantic.hit(similarity=0.97, age=3600, saved_usd=0.0021, saved_seconds=1.8)
        semantic.miss(similarity=0.62)
    """
    return Cache(name)
