"""Where in a request's work the code is: for whom it works, and below which span."""

from typing import NamedTuple

from opentelemetry import context as opentelemetry_context
from opentelemetry.context import Context

from genai_observability._context.scope import Scope, scope


class Place(NamedTuple):
    """The attribution in force, and OpenTelemetry's context with the current span and the baggage."""

    scope: Scope | None
    context: Context


NOWHERE = Place(None, Context())
"""Outside of every request."""


def here() -> Place:
    """Where the running code is."""
    return Place(scope.get(), opentelemetry_context.get_current())


def go_to(place: Place) -> None:
    """Be there from now on: until this task, or thread, goes elsewhere."""
    scope.set(place.scope)
    opentelemetry_context.attach(place.context)
