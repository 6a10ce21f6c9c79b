"""How a call ended, in five words that alerts and dashboards share."""

from typing import Final

from genai_observability._calls.call import Outcome, StreamEnd

# Class names, whatever package they come from: openai.RateLimitError, anthropic.RateLimitError, builtins.TimeoutError.
_BY_ERROR: Final[dict[str, Outcome]] = {
    "RateLimitError": "rate_limited",
    "OpenAIRateLimitError": "rate_limited",  # LangChain's
    "ResourceExhausted": "rate_limited",
    "TooManyRequests": "rate_limited",
    "429": "rate_limited",
    "APITimeoutError": "timeout",
    "TimeoutError": "timeout",
    "TimeoutException": "timeout",
    "ReadTimeout": "timeout",
    "ConnectTimeout": "timeout",
    "Timeout": "timeout",
    "DeadlineExceeded": "timeout",
    "timeout": "timeout",
    "CancelledError": "cancelled",
    "GeneratorExit": "cancelled",
    "KeyboardInterrupt": "cancelled",
}
ABANDONED: Final = "abandoned stream"
"""How the upstream stream wrappers describe a stream that nobody read to its end."""


def outcome(
    error_type: str | None, message: str | None, *, streamed: bool, finish_reasons: tuple[str, ...], complete: bool
) -> Outcome:
    """Classify a finished call.

    A stream that its reader closed early ends without error and finish reason: it was cancelled. ``complete`` says that
    its end was seen, by its usage or otherwise.
    """
    if error_type is None:
        return "cancelled" if streamed and not finish_reasons and not complete else "success"
    if message == ABANDONED:
        return "cancelled"
    return _BY_ERROR.get(error_type.rsplit(".", 1)[-1], "error")


def stream_end(
    outcome: Outcome, message: str | None, *, finish_reasons: tuple[str, ...], complete: bool, begun: bool
) -> StreamEnd:
    """How a streamed answer ended; ``begun`` says whether any of it was read."""
    if outcome == "success" or finish_reasons or complete:
        return "complete"
    if outcome == "cancelled" and message in (None, ABANDONED):
        return "abandoned" if begun else "unread"
    return "cancelled" if outcome == "cancelled" else "broken"
