"""Tokens and quota: how many tokens of which kind, and how near the providers' rate limits are."""

from typing import Final

from genai_observability.signals import (
    CALL_TOKENS,
    CALL_TOKENS_DETAIL,
    CALLS_IN_FLIGHT,
    FEATURE,
    PROVIDER,
    QUOTA_KIND,
    QUOTA_LIMIT,
    QUOTA_REMAINING,
    QUOTA_USED,
    REQUEST_MODEL,
    TOKEN_TYPE,
    Attribute,
)

from stack.dashboards.calls import NO_CALLS, RATE_LIMITED, legend, share_by, share_of, token_rates
from stack.dashboards.expressions import (
    increase,
    quantile,
    rate,
    recorded,
    ruled,
    series,
    shares,
    top,
    total,
    where,
)
from stack.dashboards.page import Row, page
from stack.dashboards.sdk import Builder, Dashboard, Panel
from stack.dashboards.style import (
    BLUE,
    COUNT,
    PURPLE,
    SHARE,
    TOKENS_PER_SECOND,
    Column,
    Limits,
    Link,
    Metrics,
    course,
    figure,
    heat,
    ranking,
    rows,
)
from stack.rules.tokens import LAST_HOUR
from stack.thresholds import Thresholds

_NO_TOKENS: Final = "No tokens in this time range"
_NO_QUOTA: Final = "No provider has told its rate limit: not all do"
_COLOURS: Final = {"input": BLUE, "output": PURPLE}
_PEAK: Final = "2m"
"""The window of the alert: a rate limit's period is often a minute, and begins with nothing used."""
_QUOTA: Final = (PROVIDER, REQUEST_MODEL, QUOTA_KIND)
_INPUT: Final = where(TOKEN_TYPE, "=", "input")
_OUTPUT: Final = where(TOKEN_TYPE, "=", "output")


def dashboard(thresholds: Thresholds) -> Dashboard:
    """The page; the alerts' thresholds colour its numbers."""
    return page(
        uid="genai-tokens",
        title="GenAI tokens and quota",
        description="How many tokens are used, of which kind and by whom, how large calls are, and how near the "
        "providers' rate limits are.",
        source="stack/dashboards/tokens.py",
        rows=[
            Row("How many tokens, and is there room for more?", [*_now(thresholds), *_courses(thresholds)]),
            Row("Who uses them?", _users()),
            Row("How near are the rate limits?", _limits(thresholds)),
            Row("How large are the calls?", _sizes()),
            Row("What are the tokens?", _kinds()),
            Row("Where is it going?", _trend()),
        ],
    )


def _now(thresholds: Thresholds) -> list[Builder[Panel]]:
    hourly = thresholds.hourly_tokens
    refused = Limits.of(thresholds.rate_limited)
    sums = {part: total(increase(CALL_TOKENS, condition, part="sum")) for part, condition in _parts().items()}
    return [
        figure(
            Metrics(sums["input"], "input", instant=True),
            Metrics(sums["output"], "output", instant=True),
            title="Tokens",
            description="Tokens of the time range. Cached tokens are part of the input, reasoning tokens of the "
            "output. Next: Tokens by feature.",
            unit=COUNT,
            empty=_NO_TOKENS,
            width=5,
        ),
        figure(
            Metrics(f"{sums['output']} / ({sums['input']} > 0)", instant=True),
            title="Output for each input",
            description="Tokens of output for each one of input. Low: long prompts or documents for short answers, "
            "which a cache of prompts makes cheaper. A sudden change is a new prompt or model.",
            unit="none",
            empty=_NO_TOKENS,
            decimals=2,
        ),
        figure(
            Metrics(_mean(_INPUT), "input", instant=True),
            Metrics(_mean(_OUTPUT), "output", instant=True),
            title="Tokens a call",
            description="Mean of the calls that reported tokens. Next: the distributions below.",
            unit=COUNT,
            empty=_NO_TOKENS,
            width=4,
            decimals=0,
        ),
        figure(
            Metrics(f"max({ruled(LAST_HOUR)})", instant=True),
            title="Last hour",
            description="Tokens of the last hour, of the one service that uses most: orange where the alert warns.",
            unit=COUNT,
            empty=_NO_TOKENS,
            limits=Limits(warning=hourly.warning.above, critical=None),
        ),
        figure(
            Metrics(f"max({_peak()})", instant=True),
            title="Quota used",
            description="The largest share of any rate limit that was used up within 2 minutes. Beyond it the provider "
            "refuses calls. Next: Rate limits, for which one.",
            unit=SHARE,
            empty=_NO_QUOTA,
            limits=_quota(thresholds),
            decimals=0,
        ),
        figure(
            Metrics(share_of(RATE_LIMITED)),
            title="Rate limited",
            description="Share of calls that the provider refused because of its rate limit. Next: Rate limited, by "
            "model; spread the load, or ask for a higher limit.",
            unit=SHARE,
            empty=NO_CALLS,
            limits=refused,
            decimals=1,
        ),
        figure(
            Metrics(f"sum({series(CALLS_IN_FLIGHT)})", instant=True),
            title="Calls in flight",
            description="Calls that have begun and not ended. Growing without more traffic: the provider is slow, or "
            "calls hang.",
            unit=COUNT,
            empty="No application is running",
        ),
    ]


def _courses(thresholds: Thresholds) -> list[Builder[Panel]]:
    return [
        token_rates(),
        course(
            Metrics(f"max by ({_labels(*_QUOTA)}) ({_peak()})", legend(REQUEST_MODEL, QUOTA_KIND)),
            title="Quota used, by model",
            description="Share of each rate limit at its peak of 2 minutes, as the provider's answers say. The dashed "
            "lines are the thresholds of the alerts.",
            unit=SHARE,
            empty=_NO_QUOTA,
            width=12,
            limits=_quota(thresholds),
        ),
    ]


def _users() -> list[Builder[Panel]]:
    return [
        ranking(
            Metrics(top(total(increase(CALL_TOKENS, part="sum"), attribute)), legend(attribute), instant=True),
            title=f"Tokens by {name}",
            description=f"Tokens of the time range, in and out, by {name}. A click narrows the page down to it.",
            unit=COUNT,
            empty=_NO_TOKENS,
            link=Link(f"Only this {name}", to="genai-tokens", choosing={name: attribute}),
        )
        for attribute, name in ((FEATURE, "feature"), (REQUEST_MODEL, "model"))
    ] + [
        course(
            Metrics(
                f"{_rate_of(_OUTPUT)} / ({_rate_of(_INPUT)} > 0)",
                legend(FEATURE),
            ),
            title="Output for each input, by feature",
            description="How much answer a token of prompt brings. Falling: prompts or conversations grow, and with "
            "them the bill.",
            unit="none",
            empty=_NO_TOKENS,
        )
    ]


def _limits(thresholds: Thresholds) -> list[Builder[Panel]]:
    by = f"by ({_labels(*_QUOTA)})"
    return [
        rows(
            # The limit is that of the account: what any process was told last, at its worst.
            Metrics(f"max {by} ({_peak()})"),
            Metrics(f"min {by} ({series(QUOTA_REMAINING)})"),
            Metrics(f"max {by} ({series(QUOTA_LIMIT)})"),
            title="Rate limits",
            description="The providers' rate limits, as their last answers said: the share that was used up at the "
            "peak of 2 minutes, what is left, and the whole. Without room: spread the load, or ask for more.",
            empty=_NO_QUOTA,
            columns=[
                Column(PROVIDER.label, "Provider"),
                Column(REQUEST_MODEL.label, "Model"),
                Column(QUOTA_KIND.label, "Of"),
                Column("Value #A", "Used", SHARE),
                Column("Value #B", "Left", COUNT),
                Column("Value #C", "Limit", COUNT),
            ],
            sort_by="Used",
            height=8,
        ),
        course(
            Metrics(share_by(REQUEST_MODEL, RATE_LIMITED), legend(REQUEST_MODEL)),
            title="Rate limited, by model",
            description="Share of each model's calls that the provider refused because of its rate limit. The dashed "
            "lines are the thresholds of the alerts.",
            unit=SHARE,
            empty=NO_CALLS,
            limits=Limits.of(thresholds.rate_limited),
            width=12,
        ),
    ]


def _sizes() -> list[Builder[Panel]]:
    return [
        *(
            heat(
                Metrics(f"sum by (le) ({rate(CALL_TOKENS, condition, part='bucket')})"),
                title=f"Size of the {name}",
                description=f"How many calls had how many tokens of {name}, over time: the darker, the more. {advice}",
                unit=COUNT,
                empty=_NO_TOKENS,
            )
            for name, condition, advice in (
                ("input", _INPUT, "A second band far up: conversations or documents that are sent whole."),
                ("output", _OUTPUT, "A band at the top: answers that nothing limits."),
            )
        ),
        *(
            course(
                Metrics(quantile(0.95, CALL_TOKENS, condition, by=(FEATURE,)), legend(FEATURE)),
                title=f"{name} p95, by feature",
                description=f"95 % of the calls of each feature have no more tokens of {name.lower()}, to within a "
                "bucket of the histogram.",
                unit=COUNT,
                empty=_NO_TOKENS,
                width=12,
                link=Link("Only this feature", to="genai-tokens", choosing={"feature": FEATURE}),
            )
            for name, condition in (("Input", _INPUT), ("Output", _OUTPUT))
        ),
    ]


def _kinds() -> list[Builder[Panel]]:
    return [
        course(
            Metrics(total(rate(CALL_TOKENS_DETAIL), TOKEN_TYPE), legend(TOKEN_TYPE)),
            title="Special tokens",
            description="Tokens a second that are cached, written to the cache, spent on reasoning, of audio or of "
            "images. They are parts of input and output, with prices of their own.",
            unit=TOKENS_PER_SECOND,
            empty="No special tokens in this time range",
        ),
        ranking(
            Metrics(_share_of_kind("cached", _INPUT), legend(REQUEST_MODEL), instant=True),
            title="Cached share of the input, by model",
            description="Share of the input that the provider read from its cache, at a fraction of the price. Low "
            "with long, equal beginnings of prompts: put what changes at their end.",
            unit=SHARE,
            empty=_NO_TOKENS,
            largest=1,
        ),
        ranking(
            Metrics(_share_of_kind("reasoning", _OUTPUT), legend(REQUEST_MODEL), instant=True),
            title="Reasoning share of the output, by model",
            description="Share of the output that the model spent on reasoning: paid for like an answer, and seen by "
            "nobody. A lower reasoning effort makes it smaller.",
            unit=SHARE,
            empty=_NO_TOKENS,
            largest=1,
        ),
    ]


def _trend() -> list[Builder[Panel]]:
    return [
        course(
            Metrics(total(recorded(CALL_TOKENS, window="1d", part="sum"), attribute), legend(attribute)),
            title=f"Tokens a day, {words}",
            description=f"Tokens of each of the last 30 days (UTC), {words}: a bar is the day that ended there. "
            f"{advice}",
            unit=COUNT,
            empty="No tokens in the last 30 days",
            width=12,
            stacked=True,
            bars=True,
            last="30d",
            colours=_COLOURS if attribute is TOKEN_TYPE else None,
        )
        for attribute, words, advice in (
            (TOKEN_TYPE, "in and out", "Input that grows faster than output: longer prompts, not more users."),
            (FEATURE, "by feature", "Which feature to expect the next higher bill from."),
        )
    ]


def _parts() -> dict[str, str]:
    return {"input": _INPUT, "output": _OUTPUT}


def _mean(condition: str) -> str:
    tokens, calls = (total(increase(CALL_TOKENS, condition, part=part)) for part in ("sum", "count"))
    return f"{tokens} / ({calls} > 0)"


def _rate_of(condition: str) -> str:
    return total(rate(CALL_TOKENS, condition, part="sum"), FEATURE)


def _share_of_kind(kind: str, whole: str) -> str:
    part = total(increase(CALL_TOKENS_DETAIL, where(TOKEN_TYPE, "=", kind)), REQUEST_MODEL)
    return top(shares(part, total(increase(CALL_TOKENS, whole, part="sum"), REQUEST_MODEL)))


def _peak() -> str:
    return f"max_over_time({series(QUOTA_USED)}[{_PEAK}])"


def _quota(thresholds: Thresholds) -> Limits:
    return Limits.of(thresholds.quota)


def _labels(*attributes: Attribute) -> str:
    return ", ".join(attribute.label for attribute in attributes)
