"""Who a model call is for: feature, team, user and more, set once around the code that makes the calls."""

import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final, NamedTuple, ParamSpec, TypeVar

from genai_observability import signals
from genai_observability._call import Value, unicode
from genai_observability._context.decoration import Setting, decorated
from genai_observability._context.identity import user_hash


class Scope(NamedTuple):
    """The attributes in force within a block, whose ``owner`` ends it."""

    owner: object
    attributes: Mapping[str, Value]
    outer: "Scope | None"


scope: Final[ContextVar[Scope | None]] = ContextVar("genai_observability_attribution", default=None)

NAMES: Final = {
    "feature": signals.FEATURE.name,
    "team": signals.TEAM.name,
    "tenant": signals.TENANT.name,
    "endpoint": signals.ENDPOINT.name,
    "user": signals.USER_HASH.name,
    "user_tier": signals.USER_TIER.name,
    "session": signals.SESSION.name,
    "conversation": signals.CONVERSATION.name,
    "request": signals.REQUEST.name,
    "prompt_name": signals.PROMPT_NAME.name,
    "prompt_version": signals.PROMPT_VERSION.name,
    "variant": signals.VARIANT.name,
    "experiment": signals.EXPERIMENT.name,
}
"""The attribute of each argument of ``attributed_to()``, but for the metadata. Of the user it is the keyed hash."""

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_LONGEST_VALUE: Final = 200  # characters; a label or a log field longer than this is not an attribution
_MOST_METADATA: Final = 20

_NOTHING: Final[Mapping[str, Value]] = MappingProxyType({})
_SETTING: Final = Setting(scope.get, scope.set)
received: Callable[[], Mapping[str, Value]] | None = None
"""What the service that asked this one says of the request, where that is accepted."""


def current() -> Mapping[str, Value]:
    """The span attributes of the attribution in force here."""
    here = scope.get()
    own = here.attributes if here else _NOTHING
    return {**received(), **own} if received else own


def add(name: str, value: str) -> None:
    """Set one attribute until the innermost block ends; nothing outside of every block, where it would never end."""
    here = scope.get()
    if here is not None:
        scope.set(here._replace(attributes=MappingProxyType({**here.attributes, name: text(value)})))


class attributed_to:  # noqa: N801 - reads as a statement: with attributed_to(feature="search"):
    """Attribute every model call made inside to a feature, a team, a user and so on.

    Use it around a block or as a decorator of a function, ``async`` or not, a generator or not. Inner values win over
    outer ones, what the inner one leaves out stays. It follows ``asyncio`` tasks, and from ``instrument()`` on threads.

    Values become metric labels only where the catalogue calls them bounded (feature, team, tenant, endpoint): give
    names that your code chooses from, never text that a user typed. The user's id is replaced by a keyed hash here;
    all else is recorded as it is given. ``None`` leaves a value as it is outside, and values are cut to 200 characters.

    Args:
        feature: Product feature that makes the calls, such as ``"search"``.
        team: Team that owns the feature and its bill.
        tenant: Customer organisation that is served.
        endpoint: Route of your application as a template, such as ``"/orders/{id}"``.
        user: Id of the user, such as an e-mail address; only its keyed hash leaves the process.
        user_tier: The user's plan, such as ``"pro"``.
        session: Id of the user's session.
        conversation: Id of the conversation that the calls belong to.
        request: Id of the user's request, if your services share one.
        prompt_name: Name of the prompt template.
        prompt_version: Version of the prompt template, such as ``"3"``.
        variant: Variant of a running experiment.
        experiment: Name of the experiment that the variant is of.
        metadata: Anything else worth finding a call by: at most 20 short values, on spans and in the request log.
            Numbers and booleans stay such, everything else becomes text.

    Example:
        with genai_observability.attributed_to(feature="search", team="growth", user="alice@example.com"):
            client.responses.create(model="gpt-4.1-mini", input="Where is my order?")


        @genai_observability.attributed_to(endpoint="/orders/{id}")
        def order(number: str) -> str:
            return client.responses.create(model="gpt-4.1-mini", input=f"Sum up order {number}.").output_text


        order("1234")
    """

    __slots__ = ("_attributes",)

    def __init__(
        self,
        *,
        feature: str | None = None,
        team: str | None = None,
        tenant: str | None = None,
        endpoint: str | None = None,
        user: str | None = None,
        user_tier: str | None = None,
        session: str | None = None,
        conversation: str | None = None,
        request: str | None = None,
        prompt_name: str | None = None,
        prompt_version: str | None = None,
        variant: str | None = None,
        experiment: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        user = None if user is None else user_hash(text(user))
        given = (
            feature, team, tenant, endpoint, user, user_tier, session, conversation, request, prompt_name,
            prompt_version, variant, experiment,
        )  # fmt: skip
        pairs = zip(NAMES.values(), given, strict=True)
        self._attributes: dict[str, Value] = {name: text(value) for name, value in pairs if value is not None}
        self._attributes |= _metadata(metadata)

    def __enter__(self) -> None:
        outer = scope.get()
        attributes = {**outer.attributes, **self._attributes} if outer else self._attributes
        scope.set(Scope(self, MappingProxyType(attributes), outer))

    def __exit__(self, *_: object) -> None:
        # Not ContextVar.reset: a generator may be closed in another context than it was started in, and reset raises.
        here = scope.get()
        while here is not None and here.owner is not self:
            here = here.outer
        if here is not None:
            scope.set(here.outer)

    def __call__(self, function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
        """Decorate a function, ``async`` or not, a generator or not: its body runs inside."""
        return decorated(self, function, _SETTING)


def _metadata(metadata: Mapping[str, object] | None) -> dict[str, Value]:
    if not isinstance(metadata, Mapping):
        return {}
    pairs = list(metadata.items())[:_MOST_METADATA]
    return {signals.METADATA_PREFIX + text(key): _value(value) for key, value in pairs if value is not None}


def _value(value: object) -> Value:
    if isinstance(value, int):
        return value if abs(value) < 2**63 else text(value)  # OTLP carries 64 bits
    if isinstance(value, float):
        return value if math.isfinite(value) else text(value)
    return text(value)


def text(value: object, *, longest: int = _LONGEST_VALUE) -> str:
    """Any value as a short text, whatever an application passes."""
    try:
        return unicode(str(value)[:longest])
    except Exception:
        return "unprintable"
