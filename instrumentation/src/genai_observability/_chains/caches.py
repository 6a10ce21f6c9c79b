"""What a cache of answers saves, and whether it does so rightly."""

from genai_observability import signals
from genai_observability._context.attribution import text
from genai_observability._instrument import recorder
from genai_observability._metrics.gauges import Source, set_gauge


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
        recording = recorder()
        if recording is not None and amount is not None:
            recording.measure(
                metric, amount, {signals.CACHE_NAME.name: self._name, signals.CACHE_RESULT.name: result}
            )  # fmt: skip


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
