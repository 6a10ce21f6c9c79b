"""The state of each provider of models, as its calls show it."""

from typing import Final

from genai_observability.signals import CALL_DURATION, PROVIDER

from stack.dashboards.calls import FAILED, FINISHED, NO_CALLS, RATE_LIMITED
from stack.dashboards.expressions import ENVIRONMENT, increase, shares, total, where
from stack.dashboards.sdk import Builder, Panel
from stack.dashboards.style import COUNT, GREEN, GREY, ORANGE, RED, SHARE, Column, Link, Metrics, rows
from stack.rules.errors import PROVIDER_DOWN, PROVIDERS_FAULT
from stack.thresholds import Thresholds

AT_PROVIDER: Final = where(PROVIDERS_FAULT.attribute, PROVIDERS_FAULT.operator, PROVIDERS_FAULT.value)
"""Of failures: those at the provider's side, by the type of the error."""
NOT_AT_PROVIDER: Final = where(PROVIDERS_FAULT.attribute, "!~", PROVIDERS_FAULT.value)

_STATES: Final = {"2": ("down", RED), "1": ("degraded", ORANGE), "0": ("ok", GREEN), "-1": ("no calls now", GREY)}


def providers(thresholds: Thresholds, width: int = 12) -> Builder[Panel]:
    """A table."""
    share = thresholds.error_ratio.warning.above
    counted = total(increase(CALL_DURATION, FINISHED, part="count"), PROVIDER)
    return rows(
        Metrics(_state(share)),
        Metrics(f"{counted} > 0"),
        *(Metrics(_share(condition, counted)) for condition in (FAILED, RATE_LIMITED)),
        title="Providers",
        description="State now: down, while the alert on it fires; degraded, while more than "
        f"{share:.0%} of the calls of 5 minutes end in server errors, timeouts or broken connections. The other "
        "columns are for the time range. Next: compare with the provider's own status page, then use another one.",
        empty=NO_CALLS,
        columns=[
            Column(
                PROVIDER.label,
                "Provider",
                link=Link("Latency of this provider", to="genai-latency", choosing={"provider": PROVIDER}),
            ),
            Column("Value #A", "State", colours=_STATES),
            Column("Value #B", "Calls", COUNT),
            Column("Value #C", "Failed", SHARE),
            Column("Value #D", "Rate limited", SHARE),
        ],
        sort_by="State",
        width=width,
        height=8,
    )


def _state(degraded: float) -> str:
    """2 for down, 1 for degraded, 0 for in order, -1 for no calls in the last minutes."""
    chosen = f'{ENVIRONMENT.label}=~"$environment", {where(PROVIDER, "=~", "$provider")}'
    firing = f'ALERTS{{alertname="{PROVIDER_DOWN}", alertstate="firing", {chosen}}}'
    now = total(increase(CALL_DURATION, FINISHED, part="count", window="5m"), PROVIDER)
    failing = total(increase(CALL_DURATION, FAILED, AT_PROVIDER, part="count", window="5m"), PROVIDER)
    ever = total(increase(CALL_DURATION, FINISHED, part="count"), PROVIDER)
    return (
        f"2 * group by ({PROVIDER.label}) ({firing})\n"
        f"or {shares(failing, now)} > bool {degraded:.15g}\n"
        f"or 0 * ({ever} > 0) - 1"
    )


def _share(condition: str, counted: str) -> str:
    part = total(increase(CALL_DURATION, condition, part="count"), PROVIDER)
    return shares(part, counted)
