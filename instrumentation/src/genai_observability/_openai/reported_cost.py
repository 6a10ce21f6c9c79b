"""What a provider itself says that a call cost: OpenRouter and LiteLLM do, in US dollars, with the usage."""

from typing import Any, Final

from genai_observability import signals

_MOST_DOLLARS: Final = 1e6  # what claims more is nonsense


def cost_attributes(usage: Any) -> dict[str, str | float]:
    """That cost as span attributes; where the user pays the provider directly, its charge is in a field of its own."""
    # Not by getattr: a field that is not there costs 3 µs.
    fields = usage if isinstance(usage, dict) else getattr(usage, "model_extra", None) or {}
    cost: Any = fields.get("cost")
    if not _is_amount(cost):
        return {}
    if fields.get("is_byok") is True and _is_amount(
        paid := _get(fields.get("cost_details"), "upstream_inference_cost")
    ):
        cost += paid
    return {signals.COST.name: float(cost), signals.COST_SOURCE.name: "provider"}


def _is_amount(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < _MOST_DOLLARS


def _get(value: Any, name: str) -> Any:
    """A field of an answer, or of one that was left as plain data."""
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)
