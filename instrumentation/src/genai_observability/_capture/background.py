"""Responses that are worked on in the background: what they used is known once they are fetched, finished.

https://platform.openai.com/docs/guides/background. The call that submits one ends without usage. The first fetch in
this process that finds it finished is recorded with its usage, and for whom it was submitted; those before and after
are not calls of a model.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from genai_observability import signals
from genai_observability._calls.call import Value
from genai_observability._capture import answers
from genai_observability._capture.answers import get

_MOST: Final = 10_000  # responses that are remembered
_submitted: OrderedDict[str, Mapping[str, Value]] = OrderedDict()
_recorded: OrderedDict[str, object] = OrderedDict()


def submitted(answer: Any, attribution: Mapping[str, Value]) -> dict[str, Any]:
    """What the answer to a call says, or the end of its stream, where it may have submitted a response."""
    if get(answer, "background") is not True or not isinstance(key := get(answer, "id"), str):
        return {}
    if get(answer, "usage") is not None:
        _keep(_recorded, key, None)
    elif get(answer, "status") in ("queued", "in_progress"):
        _keep(_submitted, key, attribution)
        return {signals.BACKGROUND.name: True}
    return {}


def fetched(answer: Any) -> dict[str, Any]:
    """What a fetched response says, where it is the first to be fetched with its usage: of two at once, one is."""
    key = get(answer, "id")
    if get(answer, "background") is not True or get(answer, "usage") is None or not isinstance(key, str):
        return {}
    this = object()
    if _recorded.setdefault(key, this) is not this:
        return {}
    _bound(_recorded)
    return {**answers.response(answer), **_submitted.pop(key, {})}


def _keep(kept: OrderedDict[str, Any], key: str, value: Any) -> None:
    kept[key] = value
    _bound(kept)


def _bound(kept: OrderedDict[str, Any]) -> None:
    if len(kept) > _MOST:
        kept.popitem(last=False)
