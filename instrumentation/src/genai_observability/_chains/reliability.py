"""What an application does where a provider fails it: falls back, stops asking, lets work wait."""

import logging
from typing import Final, Literal, get_args

from genai_observability import signals
from genai_observability._context.attribution import text
from genai_observability._instrument import recorder
from genai_observability._metrics.gauges import Source, set_gauge

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
    recording = recorder()
    if recording is not None:
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
        _logger.warning(
            "The state of a circuit breaker is left out: it is %.50r, but must be one of: %s.",
            state, ", ".join(_STATES),
        )  # fmt: skip
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
