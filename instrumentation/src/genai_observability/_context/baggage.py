"""Attribution that goes to the application's other services with its HTTP requests, and comes from them.

It travels as W3C baggage (https://www.w3.org/TR/baggage/), written and read by whatever instruments the application's
HTTP clients and servers. Two lists say what may leave and what is believed, and both are empty unless the application
fills them. A request to a model's provider carries nothing of ours.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry import baggage, trace
from opentelemetry.context import Context, create_key, get_current, get_value, set_value
from opentelemetry.propagate import get_global_textmap, set_global_textmap
from opentelemetry.propagators import textmap

from genai_observability._call import Value
from genai_observability._context import attribution as _attribution
from genai_observability._context.attribution import NAMES

_logger = logging.getLogger("genai_observability")

_RECEIVED: Final = create_key("genai_observability.received")
"""Under this key a context has the names of the baggage that another service has sent."""


def travel(
    *, propagate: Iterable[str], accept: Iterable[str], to_provider: Callable[[Context], bool], traces_are_ours: bool
) -> Callable[[], None]:
    """Let attribution travel from now on; returns what ends that.

    Args:
        propagate: Names of ``NAMES`` that leave with requests to other services.
        accept: Names of ``NAMES`` that are taken from incoming requests.
        to_provider: Whether what happens in a context is a request to the provider of a model.
        traces_are_ours: Whether the process's traces are there through this package alone.
    """
    _attribution.received = _received(_known("accept_baggage", accept))
    original = get_global_textmap()
    ours = _Attribution(original, _known("propagate", propagate), to_provider, traces_are_ours)
    set_global_textmap(ours)

    def end() -> None:
        _attribution.received = None
        if get_global_textmap() is ours:
            set_global_textmap(original)
        else:
            ours.end()

    return end


def _known(argument: str, names: Iterable[str]) -> tuple[str, ...]:
    given = (names,) if isinstance(names, str) else tuple(names)
    if unknown := [name for name in given if name not in tuple(NAMES)]:
        _logger.warning(
            "instrument(%s=...) leaves out %s: it must be of: %s.", argument, ", ".join(map(repr, unknown)),
            ", ".join(NAMES),
        )  # fmt: skip
    return tuple(attribute for name, attribute in NAMES.items() if name in given)


def _received(accepted: Collection[str]) -> Callable[[], Mapping[str, Value]] | None:
    if not accepted:
        return None

    def received() -> Mapping[str, Value]:
        found = baggage.get_all()
        return {name: _attribution.text(found[name]) for name in accepted if name in found} if found else {}

    return received


@dataclass(slots=True, eq=False)
class _Attribution(textmap.TextMapPropagator):
    """Another propagator, whose baggage also carries the attribution, and carries none to the provider of a model."""

    propagator: textmap.TextMapPropagator
    names: Collection[str]
    to_provider: Callable[[Context], bool]
    traces_are_ours: bool

    def end(self) -> None:
        """Carry nothing any more."""
        self.names, self.to_provider = (), lambda _: False

    def inject(
        self, carrier: Any, context: Context | None = None, setter: textmap.Setter[Any] = textmap.default_setter
    ) -> None:
        context = get_current() if context is None else context
        if self.to_provider(context):
            received, carried = _sent_by_another(context), baggage.get_all(context)
            for name, value in carried.items():
                if name in NAMES.values() or received.get(name) == value:
                    context = baggage.remove_baggage(name, context)
            if self.traces_are_ours:
                context = trace.set_span_in_context(trace.INVALID_SPAN, context)
        else:
            attribution = _attribution.current()
            for name in self.names:
                if name in attribution:
                    context = baggage.set_baggage(name, str(attribution[name]), context)
        self.propagator.inject(carrier, context, setter)

    def extract(
        self, carrier: Any, context: Context | None = None, getter: textmap.Getter[Any] = textmap.default_getter
    ) -> Context:
        extracted = self.propagator.extract(carrier, context, getter)
        before = baggage.get_all(context)
        received = {name: value for name, value in baggage.get_all(extracted).items() if before.get(name) != value}
        return set_value(_RECEIVED, {**_sent_by_another(extracted), **received}, extracted)

    @property
    def fields(self) -> set[str]:
        return self.propagator.fields


def _sent_by_another(context: Context) -> Mapping[str, Any]:
    found: Any = get_value(_RECEIVED, context)
    return found or {}
