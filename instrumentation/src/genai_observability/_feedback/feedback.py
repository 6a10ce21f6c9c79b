"""What users say of answers, and what they do with them, as satisfaction from 0 to 1.

What a user says outright weighs 1. What is only concluded from what the user did weighs less, as there are other
reasons to copy or to leave. The satisfaction of any set of answers is the weighted mean of its signs.
"""

from dataclasses import dataclass
from typing import Final, Literal

FEEDBACK: Final = "user_feedback"
"""``gen_ai.evaluation.name`` of what users say."""

Kind = Literal["up", "down", "stars", "report", "regenerate", "edit", "copy", "abandon"]


@dataclass(frozen=True, slots=True)
class Sign:
    """What one kind of feedback says: the satisfaction that it stands for, and how much it weighs."""

    satisfaction: float
    weight: float


SIGNS: Final[dict[str, Sign]] = {
    "up": Sign(1.0, 1.0),
    "down": Sign(0.0, 1.0),
    "report": Sign(0.0, 1.0),  # harmful, wrong, offensive: the category says
    "copy": Sign(0.9, 0.5),  # the answer is used
    "edit": Sign(0.5, 0.3),  # used, but not as it is
    "regenerate": Sign(0.2, 0.5),  # another one is wanted
    "abandon": Sign(0.2, 0.3),  # left within half a minute
}
"""The kinds of feedback but stars, of which 1 stands for 0, 5 for 1, and which weigh 1."""

_MOST_STARS: Final = 5


def sign(kind: object, stars: object) -> Sign | None:
    """What a piece of feedback says; ``None`` for what is no feedback."""
    if kind != "stars":
        return SIGNS.get(kind) if isinstance(kind, str) and stars is None else None
    if not isinstance(stars, int) or isinstance(stars, bool) or not 1 <= stars <= _MOST_STARS:
        return None
    return Sign((stars - 1) / (_MOST_STARS - 1), 1.0)
