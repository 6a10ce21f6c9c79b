"""Cost: where the money goes, and whether the bill stays in bounds."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from genai_observability.signals import (
    BATCH_CALLS,
    BUDGET,
    BUDGET_ACTION,
    BUDGET_EXCEEDED,
    BUDGET_UNCHECKED,
    BUDGET_USED,
    CACHE_SAVED_COST,
    CALL_COST,
    CALL_DURATION,
    CALL_ESTIMATED_COST,
    CALLS_UNPRICED,
    ENDPOINT,
    FEATURE,
    OPERATION,
    PRICES_AGE,
    PROVIDER,
    REQUEST_MODEL,
    STEP_COSTS,
    STEP_NAME,
    TEAM,
    TENANT,
    Attribute,
)

from stack.dashboards.calls import NO_CALLS, dearest_calls, legend, unpriced_calls
from stack.dashboards.expressions import (
    RANGE,
    STEP,
    increase,
    rate,
    recorded,
    ruled,
    series,
    share,
    top,
    total,
)
from stack.dashboards.page import Row, page
from stack.dashboards.sdk import Builder, Dashboard, Panel
from stack.dashboards.sql import Sql, column, usage
from stack.dashboards.style import (
    BLUE,
    COUNT,
    DOLLARS,
    GREY,
    ORANGE,
    RED,
    SECONDS,
    SHARE,
    Limits,
    Link,
    Metrics,
    course,
    figure,
    ranking,
)
from stack.rules.cost import PLANNED, SPENT
from stack.thresholds import Thresholds

_NO_MONEY: Final = "No priced calls in this time range"
_UNKNOWN: Final = "No service has spent anything since its rules were loaded"
_DAY: Final = 86_400
_BOUNDS: Final = ("0.0001", "0.001", "0.01", "0.1", "1")
"""US dollars between which calls are counted: powers of ten, as prices of calls differ that much."""


def dashboard(thresholds: Thresholds) -> Dashboard:
    """The page; the alerts' thresholds colour its numbers."""
    return page(
        uid="genai-cost",
        title="GenAI cost",
        description="Where the money goes, and whether the bill stays in bounds: today, the month and its forecast, "
        "by whom and by what, what a call costs, what is paid in vain, and the budgets.",
        source="stack/dashboards/cost.py",
        rows=[
            Row("Where does the money go, and is the bill in bounds?", [*_bill(thresholds), *_causes()]),
            Row("Who else?", _others()),
            Row("When?", _times()),
            Row("What does a call cost?", _prices()),
            Row("What is paid in vain, what is missing, what is saved?", _waste()),
            Row("Are the budgets kept?", _budgets(thresholds)),
            Row("Which calls?", [dearest_calls(width=24)]),
        ],
    )


def _bill(thresholds: Thresholds) -> list[Builder[Panel]]:
    hour = Limits.of(thresholds.hourly_cost)
    unpriced = share(
        increase(CALLS_UNPRICED),
        f"{total(increase(CALL_DURATION, part='count'))} + ({total(increase(BATCH_CALLS))} or vector(0))",
    )
    return [
        figure(
            Metrics(_sum("today"), "today", instant=True),
            Metrics(f"sum(last_over_time({_of('increase1d')}[1d:1d])) or vector(0)", "yesterday", instant=True),
            title="Today and yesterday",
            description="Money spent on priced calls since midnight UTC, up to some minutes ago, and on the whole day "
            "before, whatever the time range of the page.",
            unit=DOLLARS,
            empty=_UNKNOWN,
            width=5,
            decimals=2,
        ),
        figure(
            Metrics(_sum("month"), "so far", instant=True),
            Metrics(_sum("forecast_month"), "forecast", instant=True),
            Metrics(_sum("forecast_month_low"), "at least", instant=True),
            Metrics(_sum("forecast_month_high"), "at most", instant=True),
            title="This month",
            description="Money spent since the first of the month (UTC), and what it will be at its end: the mean day "
            "of the last week for each day left, and within which bounds. The forecast needs three whole days of "
            "history. Next: Budgets of services below.",
            unit=DOLLARS,
            empty=_UNKNOWN,
            width=9,
            decimals=2,
        ),
        figure(
            Metrics(f"max({_of('increase1h')})", instant=True),
            title="Last hour",
            description="Money of the last hour, of the one service that spends most: the alert looks at each service "
            "by itself, and colours this number. Next: Money an hour.",
            unit=DOLLARS,
            empty=_UNKNOWN,
            limits=hour,
            decimals=2,
        ),
        figure(
            Metrics(
                f"{total(increase(CALL_COST))} / ({total(increase(CALL_COST, ago=RANGE))} > 0) - 1",
                instant=True,
            ),
            title="Against the time before",
            description="Money of the time range against that of the same length before it: 100 % is twice as much. "
            "Next: Cost by feature, over time, shows whose it is.",
            unit=SHARE,
            empty="Nothing was spent in the time before",
            width=4,
            decimals=0,
        ),
        figure(
            Metrics(unpriced, instant=True),
            title="Without a price",
            description="Share of the calls of which the price is not known: all money on this page lacks them. "
            "Next: Calls without a price.",
            unit=SHARE,
            empty=NO_CALLS,
            decimals=1,
        ),
        course(
            Metrics(f"sum by (job) ({_of('increase1h')})", "{{job}}"),
            title="Money an hour, by service",
            description="Money of the hour before each point. The dashed lines are the thresholds of the alerts.",
            unit=DOLLARS,
            empty=_UNKNOWN,
            width=12,
            limits=hour,
        ),
        course(
            Metrics(_sum("month"), "spent"),
            Metrics(_sum("forecast_month"), "forecast"),
            Metrics(_sum("forecast_month_low"), "at least"),
            Metrics(_sum("forecast_month_high"), "at most"),
            Metrics(f'sum({PLANNED}:month{{job=~"$service"}})', "budget"),
            title="The month and its forecast",
            description="What the month has cost at each time, and what was then expected of its end. A forecast that "
            "climbs day by day is a cost that grows. It begins anew on the first.",
            unit=DOLLARS,
            empty=_UNKNOWN,
            width=12,
            last="30d",
            colours={"spent": BLUE, "forecast": ORANGE, "at least": GREY, "at most": GREY, "budget": RED},
        ),
    ]


def _causes() -> list[Builder[Panel]]:
    return [
        _by(FEATURE, "feature", "`none` stands for calls without a feature: attribute them in the application."),
        _by(REQUEST_MODEL, "model", "The cheapest saving is a smaller model for the most expensive feature."),
        _by(TEAM, "team", "`none` stands for calls without a team."),
    ]


def _others() -> list[Builder[Panel]]:
    return [
        _by(PROVIDER, "provider", "The same model may have another price elsewhere."),
        _by(TENANT, "tenant", "What each customer costs; `none` stands for calls without a tenant."),
        _by(ENDPOINT, "endpoint", "Routes of the application; `none` stands for calls outside of any."),
    ]


def _by(attribute: Attribute, name: str, advice: str) -> Builder[Panel]:
    """A click on what a variable of the page stands for narrows the page down to it."""
    chosen = {FEATURE: "feature", REQUEST_MODEL: "model", TEAM: "team", PROVIDER: "provider"}.get(attribute)
    return ranking(
        Metrics(top(total(increase(CALL_COST), attribute)), legend(attribute), instant=True),
        title=f"Cost by {name}",
        description=f"Money spent on priced calls in the time range, by {name}. {advice}",
        unit=DOLLARS,
        empty=_NO_MONEY,
        link=Link(f"Only this {name}", to="genai-cost", choosing={chosen: attribute}) if chosen else None,
    )


def _times() -> list[Builder[Panel]]:
    return [
        course(
            Metrics(total(increase(CALL_COST, window=STEP), FEATURE), legend(FEATURE), exemplars=True),
            title="Cost by feature, over time",
            description="Money spent in the time that each bar stands for: minutes in a range of an hour, hours in one "
            "of days. The sum of all bars is the cost of the time range. A point marked as exemplar opens a trace.",
            unit=DOLLARS,
            empty=_NO_MONEY,
            width=12,
            stacked=True,
            bars=True,
            link=Link("Only this feature", to="genai-cost", choosing={"feature": FEATURE}),
        ),
        course(
            Metrics(total(recorded(CALL_COST, window="1d"), REQUEST_MODEL), legend(REQUEST_MODEL)),
            title="Cost a day, by model",
            description="Money of each of the last 30 days (UTC): a bar is the day that ended there. A step that stays "
            "is a change of model, prompt or traffic; the marks in the graph say which.",
            unit=DOLLARS,
            empty="No priced calls in the last 30 days",
            width=12,
            stacked=True,
            bars=True,
            last="30d",
            link=Link("Only this model", to="genai-cost", choosing={"model": REQUEST_MODEL}),
        ),
    ]


def _prices() -> list[Builder[Panel]]:
    cost, calls = total(rate(CALL_COST), FEATURE), total(rate(CALL_DURATION, part="count"), FEATURE)
    return [
        course(
            Metrics(f"{cost} / ({calls} > 0)", legend(FEATURE), exemplars=True),
            title="Mean cost of a call, by feature",
            description="Money over the number of calls. It grows with longer prompts and answers or a larger model, "
            "not with traffic: the number to watch after a release. A point marked as exemplar opens a trace.",
            unit=DOLLARS,
            empty=_NO_MONEY,
            link=Link("Only this feature", to="genai-cost", choosing={"feature": FEATURE}),
        ),
        ranking(
            _counted_by_price(),
            title="Calls by price",
            description="How many calls cost how much. A few dear ones among many cheap ones "
            "are single prompts to look at: see Dearest calls.",
            unit=COUNT,
            empty=_NO_MONEY,
        ),
        ranking(
            _price_p95(),
            title="Price of a call p95, by feature",
            description="95 % of the priced calls of each feature cost less than this, rounded up to the next of 1, "
            "2 and 5 of its size. Far above the mean: few calls make the bill.",
            unit=DOLLARS,
            empty=_NO_MONEY,
        ),
    ]


def _counted_by_price() -> Sql:
    """The sums keep the price of a call in steps, and each power of ten begins one."""
    steps = [f"WHEN cost_from < {_BOUNDS[0]} THEN 'less than {_BOUNDS[0]} USD'"]
    steps += [f"WHEN cost_from < {above} THEN '{bound} to {above} USD'" for bound, above in pairwise(_BOUNDS)]
    name = f"CASE {' '.join(steps)} ELSE '{_BOUNDS[-1]} USD or more' END"
    select = f"{name} AS name, sum(calls) AS calls"
    return Sql(usage(select, "cost_from IS NOT NULL", rest="GROUP BY name ORDER BY calls DESC"))


def _price_p95() -> Sql:
    """The end of the step that the 95th of a hundred calls is in. A step ends at 2 or 2.5 times its beginning."""
    feature = f"coalesce({column(FEATURE)}, 'none')"
    select = f"{feature} AS name, cost_from, sum(calls) AS calls"
    steps = usage(select, "cost_from IS NOT NULL", rest="GROUP BY name, cost_from")
    by_price = "PARTITION BY name ORDER BY cost_from"
    counted = f"SELECT *, sum(calls) OVER ({by_price}) AS cheaper, sum(calls) OVER (PARTITION BY name) AS priced"
    return Sql(
        "SELECT name, greatest(cost_from(min(cost_from) * 2.5), 0.000001) AS price\n"
        f"FROM (\n{counted}\nFROM (\n{steps}\n) AS steps\n) AS counted\n"
        "WHERE cheaper >= 0.95 * priced\nGROUP BY name ORDER BY price DESC LIMIT 7"
    )


def _waste() -> list[Builder[Panel]]:
    return [
        figure(
            _spent_on({"without an answer": "outcome <> 'success'", "after retries": "retried", "in batches": "batch"}),
            title="Of the bill",
            description="Money of the time range: for calls that failed or were cancelled and "
            "yet cost something, for calls that the client library had to repeat, and for results of batches, which "
            "cost about half.",
            unit=DOLLARS,
            empty=_NO_MONEY,
            width=5,
            height=8,
            decimals=2,
        ),
        figure(
            Metrics(f"{total(increase(CALL_ESTIMATED_COST))} or vector(0)", "estimated", instant=True),
            Metrics(f"{total(increase(CACHE_SAVED_COST))} or vector(0)", "saved by caches", instant=True),
            title="Not in the bill",
            description="Of streams that reported no usage only an estimate is known, which is in no other sum: let "
            "them ask for include_usage. Hits of the application's caches saved the rest.",
            unit=DOLLARS,
            empty=_NO_MONEY,
            width=5,
            height=8,
            decimals=2,
        ),
        unpriced_calls(width=7),
        ranking(
            Metrics(top(total(increase(STEP_COSTS), OPERATION, STEP_NAME)), legend(OPERATION, STEP_NAME), instant=True),
            title="Cost of steps",
            description="Money of the model calls inside each agent, workflow or tool in the time range. Steps are "
            "inside of each other: their sum is more than the bill.",
            unit=DOLLARS,
            empty="No priced calls inside of steps: wrap these in genai_observability.agent(), workflow() or tool()",
            width=7,
        ),
    ]


def _spent_on(what: Mapping[str, str]) -> Sql:
    """0 where there is no such call."""
    sums = (f'coalesce(sum(cost) FILTER (WHERE {each}), 0) AS "{name}"' for name, each in what.items())
    return Sql(usage(", ".join(sums)))


def _budgets(thresholds: Thresholds) -> list[Builder[Panel]]:
    limits = Limits.of(thresholds.daily_budget)
    owners = (FEATURE, TEAM, TENANT)
    labels = ", ".join(attribute.label for attribute in (BUDGET, *owners))
    owner = ", ".join(f'"{attribute.label}"' for attribute in owners)
    used = f'label_join(max by ({labels}) ({series(BUDGET_USED)}), "owner", " ", {owner})'
    return [
        ranking(
            Metrics(_of_plan("today", "day"), "{{job}}, today", instant=True),
            Metrics(_of_plan("month", "month"), "{{job}}, this month", instant=True),
            title="Budgets of services",
            description="Share of the budget for the day and for the month that is spent, by service; budgets are in "
            "stack/thresholds.yaml. Their alerts warn, and stop nothing.",
            unit=SHARE,
            empty="No service has a budget: see budgets in stack/thresholds.yaml",
            width=7,
            limits=limits,
            largest=1,
        ),
        ranking(
            Metrics(top(used, 10), f"{legend(BUDGET)} {{{{owner}}}}", instant=True),
            title="Budgets in the application",
            description="Share of each budget that the application enforces itself, as its processes last said; the "
            "colours are those of the services' budgets. At 100 % calls are refused, or let through and counted.",
            unit=SHARE,
            empty="No application enforces a budget: see genai_observability.instrument(budgets=...)",
            width=7,
            limits=limits,
            largest=1,
        ),
        ranking(
            Metrics(
                top(total(increase(BUDGET_EXCEEDED), BUDGET, BUDGET_ACTION)),
                legend(BUDGET, BUDGET_ACTION),
                instant=True,
            ),
            Metrics(top(total(increase(BUDGET_UNCHECKED), BUDGET)), f"{legend(BUDGET)} · unchecked", instant=True),
            title="Calls beyond a budget",
            description="Calls that came when a budget was used up, and what became of them. unchecked: decided by "
            "what one process knew, as the store of the budgets did not answer. Next: raise the budget, or find what "
            "used it up in Cost by feature.",
            unit=COUNT,
            empty="No call came beyond a budget in this time range",
            width=7,
            colour=ORANGE,
        ),
        figure(
            Metrics(f"max({series(PRICES_AGE)})", instant=True),
            title="Age of the prices",
            description="Time since the newest price of the table in use was checked, in the service with the oldest. "
            "Next: a newer version of genai-prices, or prices that are fetched.",
            unit=SECONDS,
            empty="No application is running",
            height=8,
            limits=Limits(warning=thresholds.prices_age.days * _DAY, critical=None),
            decimals=0,
        ),
    ]


def _of(what: str) -> str:
    """What the rules record of each service's money."""
    return ruled(f"{SPENT}:{what}")


def _sum(what: str) -> str:
    return f"sum({_of(what)})"


def _of_plan(spent: str, period: str) -> str:
    return f'sum by (job) ({_of(spent)}) / on (job) {PLANNED}:{period}{{job=~"$service"}}'
