"""Made-up model calls of a company, as the package `genai-observability` records them, to measure the warehouse with.

Five services, twenty features of eight teams, ten models, 100,000 users of whom few make most of the calls, 3 %
failures. Everything is drawn from one seed.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import accumulate
from typing import Final, NamedTuple

from genai_observability import signals
from genai_observability._call import Call, Exchange, Outcome, Price, Tokens, Value
from genai_observability._export import otlp
from genai_observability._record.request_log import RequestLog, derived_attributes
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

SEED: Final = 7
USERS: Final = 100_000
CONVERSATIONS: Final = 50_000


@dataclass(frozen=True, slots=True)
class _Model:
    name: str
    provider: str
    server: str
    prices: tuple[str, str, str]
    """US dollars for a million tokens of input, of cached input, of output."""
    seconds: float
    """Median time of a call."""
    operation: str = "chat"

    @property
    def responds_as(self) -> str:
        return self.name if self.provider == "anthropic" else f"{self.name}-2026-01-01"


_OPENAI: Final = ("openai", "api.openai.com")
_AZURE: Final = ("azure.ai.openai", "ours.openai.azure.com")
_ANTHROPIC: Final = ("anthropic", "api.anthropic.com")
_MODELS: Final = (
    _Model("gpt-4o-mini", *_OPENAI, ("0.15", "0.075", "0.6"), 0.9),
    _Model("gpt-4.1-mini", *_OPENAI, ("0.4", "0.1", "1.6"), 1.6),
    _Model("gpt-4.1", *_AZURE, ("2", "0.5", "8"), 3.1),
    _Model("gpt-4o", *_AZURE, ("2.5", "1.25", "10"), 2.4),
    _Model("text-embedding-3-small", *_OPENAI, ("0.02", "0.02", "0"), 0.12, "embeddings"),
    _Model("o4-mini", *_OPENAI, ("1.1", "0.275", "4.4"), 8.0),
    _Model("claude-haiku-4-5", *_ANTHROPIC, ("1", "0.1", "5"), 1.3),
    _Model("claude-sonnet-4-5", *_ANTHROPIC, ("3", "0.3", "15"), 4.2),
    _Model("gpt-5-mini", *_OPENAI, ("0.25", "0.025", "2"), 3.0),
    _Model("gpt-5", *_OPENAI, ("1.25", "0.125", "10"), 9.0),
)
_SERVICES: Final = ("shop", "support", "reports", "search", "mobile")
_TENANTS: Final = ("eu", "us", "ap")
_TIERS: Final = ("free", "plus", "team")
_FAILURES: Final[tuple[tuple[Outcome, str, str], ...]] = (
    ("error", "InternalServerError", "Error code: 500 - The server had an error while processing your request."),
    ("timeout", "APITimeoutError", "Request timed out."),
    ("rate_limited", "RateLimitError", "Error code: 429 - Rate limit reached for requests per min."),
)


@dataclass(frozen=True, slots=True)
class _Feature:
    name: str
    service: str
    team: str
    models: tuple[_Model, ...]


_FEATURES: Final = tuple(
    _Feature(
        name=name,
        service=_SERVICES[index % len(_SERVICES)],
        team=f"team-{index % 8 + 1}",
        models=tuple(_MODELS[(index * 3 + turn) % len(_MODELS)] for turn in range(3)),
    )
    for index, name in enumerate((
        "chat", "search", "summary", "translation", "advice", "sorting", "tagging", "drafts", "review", "extraction",
        "titles", "routing", "planning", "tutor", "alerts", "forms", "returns", "pricing", "moderation", "memory",
    ))
)  # fmt: skip


def _long_tail(count: int) -> list[float]:
    """Cumulated weights by Zipf's law, for ``random.choices``."""
    return list(accumulate(1 / rank for rank in range(1, count + 1)))


class Person(NamedTuple):
    """Who calls. All persons' texts are of the same lengths, so that one can be written over another."""

    user: str
    session: str
    conversation: str
    tenant: str
    tier: str

    @property
    def variant(self) -> str:
        """Of an experiment with two."""
        return "ab"[int(self.user[0], 16) % 2]


class People:
    """The users, with the sessions and conversations that they are in."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._weights = _long_tail(USERS)
        self._numbers = range(USERS)
        self.hashes = [f"{chance.getrandbits(256):064x}" for _ in self._numbers]
        self._conversations = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(CONVERSATIONS)]

    def some(self, count: int) -> list[Person]:
        """So many users, with their sessions and conversations."""
        return [self.person(number) for number in self.numbers(count)]

    def numbers(self, count: int) -> list[int]:
        """So many of the users' numbers, by Zipf's law: the hundredth calls a hundredth as often as the first."""
        return self._chance.choices(self._numbers, cum_weights=self._weights, k=count)

    def person(self, number: int) -> Person:
        """A user, in one of his two conversations."""
        return Person(
            user=self.hashes[number],
            session=f"s-{number:06d}",
            conversation=self._conversations[(number * 7 + self._chance.randrange(2)) % CONVERSATIONS],
            tenant=_TENANTS[number % 3],
            tier=_TIERS[min(number % 7, 2)],
        )


class Company:
    """Makes calls, one as likely as another company's; ``records`` are those that the package writes of them."""

    def __init__(self, seed: int = SEED) -> None:
        self.chance = random.Random(seed)  # noqa: S311 -- not a secret
        self.people = People(self.chance)
        self._popular = _long_tail(len(_FEATURES))

    def records(self, service: str, count: int) -> list[ReadableLogRecord]:
        """What the package's own request log writes of so many calls of a service."""
        exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        resource = Resource.create({
            "service.name": service,
            "service.version": "4.2.0",
            "service.instance.id": f"{service}-1:0",
            "deployment.environment.name": "production",
        })  # fmt: skip
        provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        log = RequestLog(provider.get_logger("genai_observability"))
        for call, price in self._calls(service, count):
            place = SpanContext(
                trace_id=self.chance.getrandbits(128) or 1,
                span_id=self.chance.getrandbits(64) or 1,
                is_remote=False,
                trace_flags=TraceFlags(TraceFlags.SAMPLED),
            )
            log.write_call(call, price, derived_attributes(call, price), set_span_in_context(NonRecordingSpan(place)))
        return list(exporter.get_finished_logs())

    def _calls(self, service: str, count: int) -> Iterator[tuple[Call, Price]]:
        own = [index for index, feature in enumerate(_FEATURES) if feature.service == service]
        weights = list(accumulate(1 / (index + 1) for index in own))
        people = self.people.some(count)
        for number, person in zip(self.chance.choices(own, cum_weights=weights, k=count), people, strict=True):
            yield self._call(_FEATURES[number], person)

    def _call(self, feature: _Feature, person: Person) -> tuple[Call, Price]:
        chance = self.chance
        model = chance.choices(feature.models, (6, 3, 1))[0]
        chat = model.operation == "chat"
        failed = chance.choice(_FAILURES) if chance.random() < 0.03 else None
        seconds = model.seconds * chance.lognormvariate(0, 0.5)
        streamed = chat and chance.random() < 0.6
        attribution: dict[str, Value] = {
            signals.FEATURE.name: feature.name,
            signals.TEAM.name: feature.team,
            signals.TENANT.name: person.tenant,
            signals.ENDPOINT.name: f"/api/{feature.name}",
            signals.USER_HASH.name: person.user,
            signals.USER_TIER.name: person.tier,
            signals.SESSION.name: person.session,
            signals.CONVERSATION.name: person.conversation,
            signals.REQUEST.name: f"{chance.getrandbits(64):016x}",
            signals.PROMPT_NAME.name: f"{feature.name}-prompt",
            signals.PROMPT_VERSION.name: chance.choices(("12", "13"), (9, 1))[0],
        }
        if feature.name == "chat":
            attribution |= {signals.EXPERIMENT.name: "short-answers", signals.VARIANT.name: person.variant}
        tokens = Tokens() if failed else self._tokens(chat=chat)
        first = seconds * chance.uniform(0.1, 0.5) if streamed and not failed else None
        provider = seconds * 0.9 if model.provider != "anthropic" else None
        phases = {"preparing": 0.0004 * chance.uniform(0.5, 2), "reading": seconds * (0.6 if streamed else 0.001)}
        if provider is not None and not streamed:
            phases |= {"network": seconds * 0.08, "provider": provider}
        else:
            phases["waiting"] = seconds * 0.39
        call = Call(
            operation=model.operation,
            provider=model.provider,
            started=datetime.now(UTC),
            duration=seconds,
            outcome=failed[0] if failed else "success",
            request_model=model.name,
            response_model=None if failed else model.responds_as,
            response_id=None if failed or not chat else f"chatcmpl-{chance.getrandbits(116):029x}",
            finish_reasons=() if failed or not chat else ("length" if chance.random() < 0.02 else "stop",),
            refused=not failed and chance.random() < 0.002,
            streamed=streamed,
            time_to_first_token=first,
            server_address=model.server,
            parameters={signals.TEMPERATURE.name: 0.2, signals.MAX_TOKENS.name: 1000} if chat else {},
            tokens=tokens,
            service_tier="default" if model.provider == "openai" and chat else None,
            error_type=failed[1] if failed else None,
            error_message=failed[2] if failed else None,
            attribution=attribution,
            exchange=Exchange(
                request_id=f"req_{chance.getrandbits(128):032x}",
                retries=int(chance.random() < 0.01),
                phases=phases,
            ),
            stream_end="complete" if streamed and not failed else None,
        )
        return call, _price(model, tokens)

    def _tokens(self, *, chat: bool) -> Tokens:
        chance = self.chance
        read = int(900 * chance.lognormvariate(0, 0.8)) + 1
        if not chat:
            return Tokens(input=read)
        return Tokens(
            input=read,
            output=int(250 * chance.lognormvariate(0, 0.8)) + 1,
            cached=read * 3 // 4 // 128 * 128 if chance.random() < 0.3 else 0,
        )


def _price(model: _Model, tokens: Tokens) -> Price:
    if tokens.input is None:
        return Price()
    read, cached, written = (Decimal(price) / 1_000_000 for price in model.prices)
    saved = (read - cached) * tokens.cached
    amount = read * tokens.input - saved + written * (tokens.output or 0)
    return Price(amount=amount, age=12, cache_saved=saved if tokens.cached else None)


def services() -> tuple[str, ...]:
    """The services, those that call most first."""
    return _SERVICES


def share(service: str) -> float:
    """The share of all calls that a service makes."""
    weights = [1 / rank for rank in range(1, len(_FEATURES) + 1)]
    own = (weight for weight, feature in zip(weights, _FEATURES, strict=True) if feature.service == service)
    return sum(own) / sum(weights)


def request(records: list[ReadableLogRecord]) -> bytes:
    """A request of records, as the package sends it."""
    return otlp.log_records(records)
