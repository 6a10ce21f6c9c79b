"""The models that the simulated provider answers with, and how fast each of them is."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model: ``snapshot`` is the dated name in its answers, the times are medians in seconds."""

    name: str
    snapshot: str
    created: int
    first_token: float
    """From the request to the first token."""
    token: float = 0.0
    """From one token to the next."""
    reasons: bool = False
    """Whether it spends hidden tokens on reasoning before it answers."""


# The times are of the order that the real models show; they make the charts plausible, nothing is billed by them.
_MODELS: Final = (
    Model(name="gpt-4o", snapshot="gpt-4o-2024-08-06", created=1715367049, first_token=0.40, token=0.012),
    Model(name="gpt-4o-mini", snapshot="gpt-4o-mini-2024-07-18", created=1721172741, first_token=0.25, token=0.008),
    Model(name="gpt-4.1-mini", snapshot="gpt-4.1-mini-2025-04-14", created=1744318173, first_token=0.30, token=0.007),
    Model(
        name="o4-mini", snapshot="o4-mini-2025-04-16", created=1744225351, first_token=0.25, token=0.004, reasons=True
    ),
    Model(name="text-embedding-3-small", snapshot="text-embedding-3-small", created=1705948997, first_token=0.06),
    Model(name="acme-internal-7b", snapshot="acme-internal-7b", created=1735689600, first_token=0.15, token=0.005),
)
MODELS: Final = {model.name: model for model in _MODELS} | {model.snapshot: model for model in _MODELS}
"""By name and by snapshot, as both can be asked for."""


def named(name: str) -> Model:
    """The model of this name; any other name is served too, under itself, as compatible servers do."""
    return MODELS.get(name) or Model(name=name, snapshot=name, created=1735689600, first_token=0.3, token=0.008)
