"""What panels show equals what happened: calls made by a plan, the provider's price list, and the panels' own queries.

Money to the cent and far below, counts exactly, quantiles to within the bucket of the histogram that they are in.
"""

import json
import subprocess
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import ceil

import httpx
import pytest
from genai_observability.signals import CALL_DURATION, CALL_TIME_TO_FIRST_TOKEN, Metric

from demo.provider.prices import PRICES
from demo.provider.usage import Usage
from stack.clients import Prometheus
from stack.dashboards import Frame, Stores, Window, ask, dashboards, queries
from stack.rules import history
from stack.settings import Settings
from stack.vocabulary import selector
from tests.end_to_end.live import ROOT, application, eventually
from tests.end_to_end.scripted_calls import PLAN, USERS, Seen
from tests.provider import running_provider

_DOLLARS = 1e-9
"""How far a sum of money may be off: Prometheus adds in floating point."""

Key = Callable[[Seen], str]
Figures = dict[str, float]
"""By the name in the legend."""


@dataclass(frozen=True)
class Truth:
    """What happened, as the application and the provider saw it."""

    calls: list[Seen]
    ledger: dict[str, object]
    began: datetime
    ended: datetime

    def count(self, by: Key, among: Callable[[Seen], bool] = lambda _: True) -> Figures:
        """Calls of each group."""
        return dict(Counter(by(call) for call in self.calls if among(call)))

    def tokens(self, kind: str, by: Key = lambda _: "") -> Figures:
        """Tokens of each group that has any."""
        return _sums((by(call), Decimal(call.tokens.get(kind, 0))) for call in self.calls)

    def cost(self, by: Key = lambda _: "", among: Callable[[Seen], bool] = lambda _: True) -> Figures:
        """Dollars of each group that has spent any."""
        return _sums((by(call), _price(call)) for call in self.calls if among(call))

    def mean(self, value: Callable[[Seen], float | None]) -> Figures:
        """The mean of those that have a value."""
        values = [found for call in self.calls if (found := value(call)) is not None]
        return {"": sum(values) / len(values)}


def _price(call: Seen) -> Decimal:
    if call.answered_by not in PRICES:
        return Decimal(0)
    return PRICES[call.answered_by].amount(Usage(**{f"{kind}_tokens": count for kind, count in call.tokens.items()}))


def _sums(amounts: Iterable[tuple[str, Decimal]]) -> Figures:
    found: dict[str, Decimal] = {}
    for name, amount in amounts:
        found[name] = found.get(name, Decimal(0)) + amount
    return {name: float(amount) for name, amount in found.items() if amount}


def _ratio(part: Figures, whole: Figures) -> Figures:
    return {name: part[name] / whole[name] for name in part}


def _named(name: str, figures: Figures) -> Figures:
    (value,) = figures.values()
    return {name: value}


def _failed(call: Seen) -> bool:
    return call.outcome != "success"


def _outcome(call: Seen) -> str:
    return call.outcome


def _feature(call: Seen) -> str:
    return call.feature


def _model(call: Seen) -> str:
    return call.model


def _user(call: Seen) -> str:
    return call.user


def _all(_: Seen) -> str:
    return ""


def _provider(_: Seen) -> str:
    return "openai"


_SUMS: dict[tuple[str, str], Callable[[Truth], Figures]] = {
    ("overview", "Cost by feature"): lambda truth: truth.cost(_feature),
    ("overview", "Cost by team"): lambda truth: truth.cost(lambda call: call.team),
    ("overview", "Cost by model"): lambda truth: truth.cost(_model),
    ("overview", "Calls by model"): lambda truth: truth.count(_model),
    ("overview", "Failures by type"): lambda truth: truth.count(lambda call: f"{call.outcome} · {call.error}", _failed),
    ("overview", "Tokens"): lambda truth: (
        _named("input", truth.tokens("input"))
        | _named("of which cached", truth.tokens("cached"))
        | _named("output", truth.tokens("output"))
        | _named("of which reasoning", truth.tokens("reasoning"))
    ),
    ("overview", "Cost by model, over time"): lambda truth: truth.cost(_model),
    ("cost", "Cost by feature"): lambda truth: truth.cost(_feature),
    ("cost", "Cost by model"): lambda truth: truth.cost(_model),
    ("cost", "Cost by team"): lambda truth: truth.cost(lambda call: call.team),
    ("cost", "Cost by provider"): lambda truth: truth.cost(_provider),
    ("cost", "Cost by feature, over time"): lambda truth: truth.cost(_feature),
    ("cost", "Mean cost of a call, by feature"): lambda truth: _ratio(truth.cost(_feature), truth.count(_feature)),
    ("tokens", "Tokens"): lambda truth: (
        _named("input", truth.tokens("input")) | _named("output", truth.tokens("output"))
    ),
    ("tokens", "Output for each input"): lambda truth: _ratio(truth.tokens("output"), truth.tokens("input")),
    ("tokens", "Tokens by model"): lambda truth: _sums(
        (call.model, Decimal(call.tokens.get("input", 0) + call.tokens.get("output", 0))) for call in truth.calls
    ),
    ("tokens", "Cached share of the input, by model"): lambda truth: _ratio(
        truth.tokens("cached", _model), truth.tokens("input", _model)
    ),
    ("tokens", "Reasoning share of the output, by model"): lambda truth: _ratio(
        truth.tokens("reasoning", _model), truth.tokens("output", _model)
    ),
    ("tokens", "Rate limited"): lambda truth: _ratio(
        truth.count(_all, lambda call: call.outcome == "rate_limited"), truth.count(_all)
    ),
    ("errors", "Failed"): lambda truth: _ratio(
        truth.count(_all, lambda call: call.outcome in ("error", "timeout")), truth.count(_all)
    ),
    ("errors", "Rate limited"): lambda truth: _ratio(
        truth.count(_all, lambda call: call.outcome == "rate_limited"), truth.count(_all)
    ),
    ("errors", "Timed out"): lambda truth: _ratio(
        truth.count(_all, lambda call: call.outcome == "timeout"), truth.count(_all)
    ),
    ("errors", "Failures by type"): lambda truth: truth.count(lambda call: f"{call.outcome} · {call.error}", _failed),
    ("errors", "Calls without an answer"): lambda truth: truth.count(_outcome, _failed),
    ("errors", "Whose fault"): lambda truth: {
        "provider": truth.count(
            _all, lambda call: call.error in ("openai.InternalServerError", "openai.APITimeoutError")
        )[""],
        "rate limit": truth.count(_all, lambda call: call.error == "openai.RateLimitError")[""],
        "request": truth.count(_all, lambda call: call.error == "openai.BadRequestError")[""],
    },
    ("errors", "Retries by model"): lambda truth: _ratio(
        truth.count(_model, lambda call: call.retried), truth.count(_model)
    ),
    ("quality", "Mean score"): lambda truth: _named("now", truth.mean(lambda call: call.score)),
    ("quality", "Satisfaction"): lambda truth: _named(
        "now", truth.mean(lambda call: None if call.sign is None else float(call.sign == "up"))
    ),
    ("quality", "Signs of users"): lambda truth: truth.count(_all, lambda call: call.sign is not None),
    ("quality", "Feedback by kind"): lambda truth: truth.count(
        lambda call: str(call.sign), lambda call: call.sign is not None
    ),
    ("quality", "Score by evaluation"): lambda truth: _named("groundedness", truth.mean(lambda call: call.score)),
}
"""What each panel should show of the whole time."""

_STORED: dict[tuple[str, str], Callable[[Truth], Figures]] = {
    ("overview", "Active users"): lambda truth: {"": len(truth.count(_user))},
    ("cost", "Of the bill"): lambda truth: {
        "without an answer": 0.0,
        **_named("after retries", truth.cost(among=lambda call: call.retried)),
        "in batches": 0.0,
    },
    ("errors", "Users affected"): lambda truth: {"": len(truth.count(_user, _failed))},
    ("errors", "Finish reasons"): lambda truth: truth.count(
        lambda _: "stop", lambda call: call.operation == "chat" and not _failed(call)
    ),
    ("users", "Active users"): lambda truth: {"": len(truth.count(_user))},
    ("users", "Cost a user"): lambda truth: {"": sum(truth.cost().values()) / USERS},
    ("users", "Calls a user"): lambda truth: {"": len(truth.calls) / USERS},
    ("errors", "Declined answers"): lambda _: {},
    ("latency", "Ends of streams"): lambda truth: truth.count(
        lambda _: "complete", lambda call: call.first_token is not None and not _failed(call)
    ),
    ("users", "Tokens a user"): lambda truth: {"": sum(truth.tokens(kind)[""] for kind in ("input", "output")) / USERS},
    ("users", "Users by feature"): lambda truth: dict(
        Counter(of for of, _ in {(call.feature, call.user) for call in truth.calls})
    ),
}
"""The same of panels that ask the warehouse."""

_BY_USER: dict[tuple[str, str], Callable[[Truth], Figures]] = {
    ("users", "Top spenders"): lambda truth: truth.cost(_user),
    ("users", "Most calls"): lambda truth: truth.count(_user),
    ("users", "Most failures"): lambda truth: truth.count(_user, _failed),
    ("security", "Most expensive users"): lambda truth: truth.cost(_user),
}
"""The same by user, whose names are hashed."""

_RATES: dict[tuple[str, str], Callable[[Truth], Figures]] = {
    ("overview", "Calls a second"): lambda truth: _named("now", truth.count(_all)),
    ("overview", "Calls by outcome"): lambda truth: truth.count(_outcome),
    ("overview", "Tokens, in and out"): lambda truth: (
        _named("input", truth.tokens("input")) | _named("output", truth.tokens("output"))
    ),
    ("tokens", "Special tokens"): lambda truth: (
        _named("cached", truth.tokens("cached")) | _named("reasoning", truth.tokens("reasoning"))
    ),
}
"""What a panel that shows growth a second should show of it in all; who has none is shown as 0 or not at all."""

_QUANTILES: dict[tuple[str, str, str], tuple[float, Metric, Key]] = {
    ("overview", "Latency", "p50"): (0.5, CALL_DURATION, _all),
    ("overview", "Latency", "p95"): (0.95, CALL_DURATION, _all),
    ("overview", "Latency", "p99"): (0.99, CALL_DURATION, _all),
    ("latency", "Latency", "p50"): (0.5, CALL_DURATION, _all),
    ("latency", "Latency", "p95"): (0.95, CALL_DURATION, _all),
    ("latency", "Time to first token", "p50"): (0.5, CALL_TIME_TO_FIRST_TOKEN, _all),
    ("latency", "Time to first token", "p95"): (0.95, CALL_TIME_TO_FIRST_TOKEN, _all),
    ("latency", "p95 by model", ""): (0.95, CALL_DURATION, _model),
    ("latency", "p95 by feature", ""): (0.95, CALL_DURATION, _feature),
    ("latency", "First token p95 by model", ""): (0.95, CALL_TIME_TO_FIRST_TOKEN, _model),
}


@pytest.fixture(scope="module")
def truth(stack: Settings) -> Truth:
    """The calls of the plan, made once, and all of them in the stores."""
    began = datetime.now(UTC)
    with running_provider(latency=0.2) as provider:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "tests.end_to_end.scripted_calls"],
            cwd=ROOT, text=True, capture_output=True, check=False, timeout=300,
            env=application(stack, OPENAI_BASE_URL=f"{provider}/v1"),
        )  # fmt: skip
        ledger = httpx.get(f"{provider}/control/ledger").json()
    assert done.returncode == 0, done.stderr
    calls = [Seen(**json.loads(line)) for line in done.stdout.splitlines()]
    assert len(calls) == sum(planned.times for planned in PLAN)
    scripted = selector(CALL_DURATION, 'job="scripted"', part="count")
    prometheus = Prometheus(stack.prometheus_url)
    assert eventually(lambda: [sample.value for sample in prometheus.query(f"sum({scripted})")] == [len(calls)])
    warehouse = Stores.of(stack).warehouse
    stored = "SELECT count(*) FROM calls WHERE service = 'scripted'"
    assert eventually(lambda: warehouse.rows(stored) == [{"count": len(calls)}])
    return Truth(calls, ledger, began, datetime.now(UTC))


@dataclass(frozen=True)
class Panels:
    """Panels' queries for a time range, whose answers are those of the scripted application alone."""

    stack: Settings
    end: datetime
    length: timedelta
    step: timedelta = timedelta(seconds=15)

    def ask(self, page: str, title: str) -> list[Frame]:
        """What all queries of a panel find."""
        stores = Stores.of(self.stack)
        window = Window(self.length, step=self.step, variables={"service": "scripted"})
        asked = [query for query in queries(dashboards()[f"{page}.json"], window) if query.panel == title]
        assert asked, f"{page} has no panel {title}"
        return [frame for query in asked for frame in ask(query, end=self.end, stores=stores)]

    def show(self, page: str, title: str) -> Figures:
        """The last value of each series by its name."""
        return {frame.name: frame.last for frame in self.ask(page, title)}


Waits = dict[str, list[tuple[float, float]]]
"""By group, what calls took at least, on the wire, and at most, by the application's clock around them."""


def _waited(metric: Metric, by: Key, truth: Truth) -> Waits:
    found: Waits = {}
    for call in truth.calls:
        least, most = (
            (call.least_seconds, call.seconds)
            if metric is CALL_DURATION
            else (call.least_first_token, call.first_token)
        )
        if call.outcome == "success" and least is not None and most is not None:
            found.setdefault(by(call), []).append((least, most))
    return found


def _bucket_of_quantile(
    level: float, waits: list[tuple[float, float]], bounds: tuple[float, ...]
) -> tuple[float, float]:
    """Where the bucket begins and ends that holds the quantile: the smallest time that so many did not exceed."""
    least, most = (sorted(times)[ceil(level * len(waits)) - 1] for times in zip(*waits, strict=True))
    edges = (0.0, *bounds)
    return edges[bisect_left(bounds, least)], bounds[bisect_left(bounds, most)]


def _present(figures: Figures) -> Figures:
    """Without the zeros of groups that had none."""
    return {name: value for name, value in figures.items() if value}


def whole(stack: Settings, truth: Truth) -> Panels:
    """Panels whose one step has all calls in it; no panel has steps of more than a minute over so short a time."""
    length = timedelta(seconds=60 + ceil((truth.ended - truth.began).total_seconds()))
    return Panels(stack, truth.ended, length, step=length)


def test_the_application_and_the_provider_agree_on_what_was_spent(truth: Truth) -> None:
    assert Decimal(str(truth.ledger["amount_usd"])) == sum(map(_price, truth.calls))
    assert truth.ledger["answers"] == len([call for call in truth.calls if call.outcome == "success"])
    assert truth.ledger["calls"] == len(truth.calls)


@pytest.mark.parametrize(("page", "title"), _SUMS)
def test_a_panel_shows_exactly_what_was_counted_and_spent(page: str, title: str, stack: Settings, truth: Truth) -> None:
    assert _present(whole(stack, truth).show(page, title)) == pytest.approx(_SUMS[page, title](truth), abs=_DOLLARS)


@pytest.mark.parametrize(("page", "title"), _RATES)
def test_a_graph_of_growth_a_second_holds_every_call(page: str, title: str, stack: Settings, truth: Truth) -> None:
    panels = whole(stack, truth)
    seconds = panels.length.total_seconds() + 15  # what Grafana takes for the window of a rate
    shown = {name: value * seconds for name, value in panels.show(page, title).items()}
    assert _present(shown) == pytest.approx(_RATES[page, title](truth), abs=1e-6)


@pytest.mark.parametrize(("page", "title"), _STORED)
def test_a_panel_of_the_warehouse_shows_exactly_what_was_counted_and_spent(
    page: str, title: str, stack: Settings, truth: Truth
) -> None:
    assert whole(stack, truth).show(page, title) == pytest.approx(_STORED[page, title](truth), abs=_DOLLARS)


@pytest.mark.parametrize(("page", "title"), _BY_USER)
def test_a_panel_by_user_shows_exactly_what_each_did_and_spent(
    page: str, title: str, stack: Settings, truth: Truth
) -> None:
    shown = {
        frame.row.get("user_hash", frame.name): frame.row.get("cost") or frame.last
        for frame in whole(stack, truth).ask(page, title)
    }
    assert sorted(shown.values()) == pytest.approx(sorted(_BY_USER[page, title](truth).values()), abs=_DOLLARS)


@pytest.mark.parametrize(("page", "title", "name"), _QUANTILES)
def test_a_quantile_is_in_the_bucket_of_the_true_one(
    page: str, title: str, name: str, stack: Settings, truth: Truth
) -> None:
    level, metric, by = _QUANTILES[page, title, name]
    frames = [frame for frame in whole(stack, truth).ask(page, title) if not name or frame.name == name]
    shown = {"" if name else frame.name: frame.last for frame in frames}
    waited = _waited(metric, by, truth)
    assert set(shown) == set(waited)
    for group, waits in waited.items():
        lowest, highest = _bucket_of_quantile(level, waits, metric.buckets)
        assert lowest <= shown[group] <= highest, (group, waits)


def test_over_days_what_is_recorded_every_minute_adds_up_to_the_same(stack: Settings, truth: Truth) -> None:
    prometheus = Prometheus(stack.prometheus_url)
    recorded = f'sum(sum_over_time({history.name(CALL_DURATION, "count")}{{job="scripted"}}[1h]))'
    assert eventually(lambda: [sample.value for sample in prometheus.query(recorded)] == [len(truth.calls)], within=200)
    panels = Panels(stack, datetime.now(UTC), timedelta(days=3))
    shown = {panel: panels.show(*panel) for panel in _SUMS if _of_the_whole_time(*panel)}
    assert len(shown) > 15
    assert {panel: _present(figures) for panel, figures in shown.items()} == {
        panel: pytest.approx(_SUMS[panel](truth), abs=_DOLLARS) for panel in shown
    }


def _of_the_whole_time(page: str, title: str) -> bool:
    asked = queries(dashboards()[f"{page}.json"], Window(timedelta(days=3)))
    return all(query.instant for query in asked if query.panel == title)
