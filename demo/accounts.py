"""What each store says about one run, and what the provider's own ledger says: figures that have to agree.

A run is a window of time that begins before its application started. The counts are exact, also with data of earlier
runs in the stores: logs and spans carry their own times, and ``increase(… anchored)`` in Prometheus neither
extrapolates nor misses what happened before a series' first sample.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from genai_observability import signals
from rich.table import Table

from stack.clients import Jaeger, Prometheus, Warehouse, Where, log_store
from stack.settings import Settings
from stack.vocabulary import over
from stack.warehouse import READER, address

SERVICE: Final = "demo"

_SAME_DOLLARS: Final = Decimal("0.000001")
"""Prometheus adds in floating point: its sums are off by far less than this, and a cent is ten thousand times it."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """Figures of one run, whole numbers but for the money; ``None`` where a source cannot know one."""

    source: str
    calls: float | None = None
    """Model calls, each once, whatever the client retried."""
    requests: float | None = None
    """Requests to the application that made model calls: one trace each."""
    input_tokens: float | None = None
    cached_tokens: float | None = None
    output_tokens: float | None = None
    reasoning_tokens: float | None = None
    dollars: Decimal | None = None
    unpriced: float | None = None
    """Answered calls of a model without a price."""


FIGURES: Final[Mapping[str, str]] = {
    "calls": "model calls",
    "requests": "requests, as traces",
    "input_tokens": "input tokens",
    "cached_tokens": "  of which cached",
    "output_tokens": "output tokens",
    "reasoning_tokens": "  of which reasoning",
    "dollars": "cost in US dollars",
    "unpriced": "calls without a price",
}
"""The fields of an account in words, in the order of the table."""


@dataclass(frozen=True, kw_only=True)
class Times:
    """Quantiles in seconds; ``None`` where nothing was measured."""

    call_p95: float | None
    first_token_p50: float | None
    first_token_p95: float | None


def of_provider(ledger: Mapping[str, Any], *, requests: int) -> Account:
    """What the simulated provider counted and would bill, and how many requests the traffic sent."""
    return Account(
        source="provider's ledger",
        calls=ledger["calls"],
        requests=requests,
        **ledger["usage"],
        dollars=Decimal(ledger["amount_usd"]),
        unpriced=ledger["unpriced_answers"],
    )


def of_application(*, calls: int, requests: int) -> Account:
    """What the application itself counted: all that is known of a real provider."""
    return Account(source="application", calls=calls, requests=requests)


def of_stores(settings: Settings, start: datetime, end: datetime, *, service: str = SERVICE) -> list[Account]:
    """What Prometheus, the log store, the warehouse and Jaeger hold of the run.

    Raises:
        StoreError: one of them cannot be asked.
    """
    logs, its_calls = log_store(settings), Where(signals.EVENT_NAME.name, "=", signals.CALL_EVENT)
    lines = list(logs.lines(Where("service.name", "=", service), its_calls, start=start, end=end))
    spans = Jaeger(settings.jaeger_url).spans(service, start=start, end=end)
    genai = [span for span in spans if signals.OPERATION.name in span.attributes]
    called = [span for span in genai if signals.STEP_CALLS.name not in span.attributes]  # steps only hold calls
    return [
        _of_prometheus(Prometheus(settings.prometheus_url), service, start, end),
        _of_calls(logs.name, [line.fields for line in lines], {line.fields.get("trace_id") for line in lines}),
        _of_warehouse(settings, service, start, end),
        _of_calls("Jaeger", [span.attributes for span in called], {span.trace_id for span in called}),
    ]


def times(settings: Settings, start: datetime, end: datetime) -> Times:
    """How long the run's calls took, from the histograms in Prometheus.

    Raises:
        StoreError: it cannot be asked.
    """
    prometheus = Prometheus(settings.prometheus_url)

    def quantile(share: float, metric: signals.Metric) -> float | None:
        buckets = _increase(SERVICE, metric, "bucket", start, end)
        found = prometheus.query(f"histogram_quantile({share}, sum by (le) ({buckets}))", at=end)
        return found[0].value if found else None

    return Times(
        call_p95=quantile(0.95, signals.CALL_DURATION),
        first_token_p50=quantile(0.5, signals.CALL_TIME_TO_FIRST_TOKEN),
        first_token_p95=quantile(0.95, signals.CALL_TIME_TO_FIRST_TOKEN),
    )


def differences(expected: Account, found: Iterable[Account]) -> list[str]:
    """Every figure on which a store and the expected account disagree, each as a sentence."""
    return [
        f"{FIGURES[field.name].strip()}: "
        f"{account.source} has {figure(theirs)}, the {expected.source} has {figure(ours)}."
        for account in found
        for field in fields(Account)
        if field.name in FIGURES
        and (ours := getattr(expected, field.name)) is not None
        and (theirs := getattr(account, field.name)) is not None
        and abs(theirs - ours) > (_SAME_DOLLARS if field.name == "dollars" else 0)
    ]


def figure(value: float | Decimal) -> str:
    """A figure as it is shown: money to the millionth of a dollar, counts whole."""
    return f"{value:.6f}" if isinstance(value, Decimal) else f"{value:,.12g}"


def comparison(columns: Sequence[Account]) -> Table:
    """The figures of each source side by side."""
    table = Table(box=None, pad_edge=True, header_style="bold")
    table.add_column("", no_wrap=True)
    for account in columns:
        table.add_column(account.source, justify="right", no_wrap=True)
    for name, words in FIGURES.items():
        values = [getattr(account, name) for account in columns]
        table.add_row(words, *("–" if value is None else figure(value) for value in values))
    return table


def _of_prometheus(prometheus: Prometheus, service: str, start: datetime, end: datetime) -> Account:
    def total(metric: signals.Metric, part: signals.Part = "", kind: str = "") -> float:
        of_kind = (f'{signals.TOKEN_TYPE.label}="{kind}"',) if kind else ()
        found = prometheus.query(f"sum({_increase(service, metric, part, start, end, *of_kind)})", at=end)
        return found[0].value if found else 0.0

    return Account(
        source="Prometheus",
        calls=total(signals.CALL_DURATION, "count"),
        input_tokens=total(signals.CALL_TOKENS, "sum", "input"),
        cached_tokens=total(signals.CALL_TOKENS_DETAIL, kind="cached"),
        output_tokens=total(signals.CALL_TOKENS, "sum", "output"),
        reasoning_tokens=total(signals.CALL_TOKENS_DETAIL, kind="reasoning"),
        dollars=Decimal(total(signals.CALL_COST)),
        unpriced=total(signals.CALLS_UNPRICED),
    )


def _of_warehouse(settings: Settings, service: str, start: datetime, end: datetime) -> Account:
    warehouse = Warehouse(address(settings, READER))
    (found,) = warehouse.rows(_OF_WAREHOUSE, service, start, end)
    return Account(source="warehouse", **found)


_OF_WAREHOUSE: Final = """
    SELECT count(*) AS calls, count(DISTINCT trace_id) AS requests,
           coalesce(sum(input_tokens), 0)::bigint AS input_tokens,
           coalesce(sum(cached_tokens), 0)::bigint AS cached_tokens,
           coalesce(sum(output_tokens), 0)::bigint AS output_tokens,
           coalesce(sum(reasoning_tokens), 0)::bigint AS reasoning_tokens,
           coalesce(sum(cost), 0) AS dollars, count(unpriced_reason) AS unpriced
    FROM calls WHERE service = $1 AND ended_at >= $2 AND ended_at < $3
"""


def _increase(
    service: str, metric: signals.Metric, part: signals.Part, start: datetime, end: datetime, *conditions: str
) -> str:
    window = f"{(end - start) // timedelta(milliseconds=1)}ms"
    of_service = f'job="{service}"'
    return over(lambda calls: f"increase({calls}[{window}] anchored)", metric, of_service, *conditions, part=part)


def _of_calls(source: str, calls: Sequence[Mapping[str, Any]], traces: set[Any]) -> Account:
    """Adds up single calls."""

    def total(attribute: signals.Attribute) -> int:
        return sum(int(call.get(attribute.name, 0)) for call in calls)

    return Account(
        source=source,
        calls=len(calls),
        requests=len(traces),
        input_tokens=total(signals.INPUT_TOKENS),
        cached_tokens=total(signals.CACHED_TOKENS),
        output_tokens=total(signals.OUTPUT_TOKENS),
        reasoning_tokens=total(signals.REASONING_TOKENS),
        dollars=sum((Decimal(str(call.get(signals.COST.name, 0))) for call in calls), Decimal(0)),
        unpriced=sum(signals.UNPRICED.name in call for call in calls),
    )
