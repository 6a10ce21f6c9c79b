"""What is lost on the way to the Collector: for want of room while it is away, or because it refused it."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

Kind = Literal["call", "span", "log", "label", "content", "batch"]
"""What can be lost: see ``signals.DROPPED``."""

Losses = Counter[Kind]


class CountedExporter:
    """An exporter of the SDK; batches that it cannot deliver are counted."""

    def __init__(self, exporter: Any, kind: Kind, losses: Losses) -> None:
        self._exporter = exporter
        self._kind: Kind = kind
        self._losses = losses

    def export(self, batch: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        """Export a batch as the exporter does."""
        try:
            result = self._exporter.export(batch, *args, **kwargs)
        except Exception:
            self._losses[self._kind] += len(batch)
            raise
        if getattr(result, "name", None) == "FAILURE":
            self._losses[self._kind] += len(batch)
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exporter, name)


def count_overflow(processor: Any, kind: Kind, losses: Losses) -> None:
    """Count what a batch processor of the SDK has no room for.

    The SDK keeps such a count as well, for metrics of its own that are mostly switched off; this takes its place.
    """
    batches = getattr(processor, "_batch_processor", None)
    if batches is not None and hasattr(batches, "_metrics"):
        batches._metrics = _Overflow(lambda count: losses.update({kind: count}))  # noqa: SLF001 - there is no public way


class _Overflow:
    """What the SDK's batch processor tells of its queue."""

    def __init__(self, on_drop: Callable[[int], None]) -> None:
        self._on_drop = on_drop

    def register_queue_size(self, get_queue_size: Callable[[], int]) -> None: ...

    def drop_items(self, count: int, error_type: str = "queue_full") -> None:  # noqa: ARG002
        self._on_drop(count)

    def finish_items(self, count: int) -> None: ...
