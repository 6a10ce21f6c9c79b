"""Two instrumentations that see the same call: it is counted once.

Each of them makes a span of it. The span of a client wrapper that this package watches is the one that counts, as more
is known of it; between two others it is the one that ends first, which is the inner one.

Two spans are of the same call where they are of the same operation, overlap, come from different instrumentations, and
have the same response id. Where one lacks the id, one must lie within the other: as its only child (a framework around
several calls is not the same call), or, as some frameworks do not make their span the current one, beside it under the
same parent. Then nothing that both report may differ.
"""

import logging
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Final

from genai_observability import signals
from genai_observability._call import Call, Outcome
from genai_observability._capture.open_calls import FinishedSpan, OpenCall, scope_of

_MOST_PLACES: Final = 5_000
_MOST_IN_PLACE: Final = 50  # calls; a call and its duplicate end one soon after the other
_MOST_SCOPES: Final = 50
_LATEST: Final = 100  # calls that are remembered while there is one instrumentation only

_logger = logging.getLogger("genai_observability")


@dataclass(slots=True, eq=False)
class _Counted:
    """What another span of a counted call can be known by, and whether one has been found. Not the whole call: 3 KB."""

    scope: str
    span: int
    parent: int | None
    start: int
    end: int
    operation: str
    model: str | None
    outcome: Outcome
    response_id: str | None
    reported: tuple[object, ...]
    found: bool = False


class Duplicates:
    """Remembers the latest calls. Used on the worker only."""

    def __init__(self) -> None:
        self._places: OrderedDict[Hashable, list[_Counted]] = OrderedDict()
        self._latest: deque[_Counted] = deque(maxlen=_LATEST)
        self._scopes: set[str] = set()
        self._warned: set[frozenset[str]] = set()

    def counted_by(self, call: Call, span: FinishedSpan, noted: OpenCall | None) -> str | None:
        """The instrumentation, by its scope, whose span of this call counts; ``None`` where it is this one."""
        if span.context is None:
            return None
        scope = scope_of(span)
        if noted is not None and noted.scope != scope:
            self._warn(noted.scope, scope)
            return noted.scope
        parent = span.parent.span_id if span.parent else None
        this = _Counted(
            scope,
            span.context.span_id,
            parent,
            span.start_time or 0,
            span.end_time or 0,
            operation=call.operation,
            model=call.request_model,
            outcome=call.outcome,
            response_id=call.response_id,
            reported=(call.response_id, call.request_model, call.tokens.input, call.tokens.output),
        )
        if len(self._scopes) < _MOST_SCOPES:
            self._scopes.add(scope)
        if len(self._scopes) == 1:  # nearly always
            self._latest.append(this)
            return None
        while self._latest:
            self._remember(self._latest.popleft())
        same = self._same(this, self._scopes - {scope})
        if same is not None:
            same.found = True
            self._warn(same.scope, scope)
            return same.scope
        self._remember(this)
        return None

    def _same(self, this: _Counted, scopes: set[str]) -> _Counted | None:
        if this.response_id:
            for other in self._at(("response", this.response_id), scopes):
                if _overlap(this, other):
                    return other
        children = [other for other in self._at(("parent", this.span), scopes) if _alike(this, other)]
        if children:
            return children[0] if len(children) == 1 else None
        outer = [other for other in self._at(("span", this.parent), scopes) if _alike(this, other)]
        beside = [other for other in self._at(("parent", this.parent), scopes) if _shadows(this, other)]
        return next((other for other in reversed([*beside, *outer]) if not other.found), None)

    def _at(self, place: tuple[str, Hashable], scopes: set[str]) -> Iterator[_Counted]:
        return (other for scope in scopes for other in self._places.get((*place, scope), ()))

    def _remember(self, this: _Counted) -> None:
        for place in (("span", this.span), ("parent", this.parent), ("response", this.response_id)):
            key = (*place, this.scope)
            calls = self._places.setdefault(key, [])
            calls.append(this)
            del calls[:-_MOST_IN_PLACE]
            self._places.move_to_end(key)
        while len(self._places) > _MOST_PLACES:
            self._places.popitem(last=False)

    def _warn(self, counted: str, other: str) -> None:
        pair = frozenset((counted, other))
        if pair in self._warned or len(self._warned) >= _MOST_SCOPES:
            return
        self._warned.add(pair)
        _logger.warning(
            "Two instrumentations see the same calls: %s and %s. Each call is counted once, by the former; the spans "
            "of the latter are exported with %s.", counted, other, signals.DUPLICATE_OF.name,
        )  # fmt: skip


def _overlap(one: _Counted, other: _Counted) -> bool:
    return one.operation == other.operation and one.start <= other.end and other.start <= one.end


def _alike(one: _Counted, other: _Counted) -> bool:
    """Whether two that overlap report nothing that differs."""
    reported = zip(one.reported, other.reported, strict=True)
    return _overlap(one, other) and all(a is None or b is None or a == b for a, b in reported)


def _shadows(this: _Counted, other: _Counted) -> bool:
    """Whether one that has ended now lies around another one of the same model, of which it has no more to tell."""
    around = this.start <= other.start and other.end <= this.end
    same_model = this.model is not None and this.model == other.model
    return around and same_model and this.outcome == other.outcome and _alike(this, other)
