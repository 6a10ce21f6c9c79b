"""Users: who uses it, and who spends most. All is counted exactly, from the warehouse; a user is known by a hash."""

from typing import Final

from genai_observability.signals import (
    COST,
    FEATURE,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    TEAM,
    TENANT,
    USER_HASH,
    USER_TIER,
)

from stack.dashboards.calls import ENDED, TRACE, WHO, active_users, of, single
from stack.dashboards.page import Row, page
from stack.dashboards.sdk import Builder, Dashboard, Panel
from stack.dashboards.sql import USER, column, typed, usage_by, users, users_by
from stack.dashboards.style import (
    BLUE,
    COUNT,
    DOLLARS,
    RED,
    SHARE,
    Column,
    Link,
    figure,
    ranking,
    rows,
)
from stack.thresholds import Thresholds

_USER: Final = "user"
_MOST: Final = 200
_NOBODY: Final = "No calls with a user in this time range: name one in genai_observability.attributed_to(user=...)"
_CALLS_OF: Final = Link("Calls of this user", to="genai-users", choosing={_USER: USER_HASH})
_OWN: Final = Column(column(USER_HASH), "User", link=_CALLS_OF)
_CALLS: Final = (
    *WHO,
    _OWN,
    of(USER_TIER, "Tier"),
    of(COST, "Cost", DOLLARS),
    of(INPUT_TOKENS, "Tokens in", COUNT),
    of(OUTPUT_TOKENS, "Tokens out", COUNT),
    ENDED,
    TRACE,
)


def dashboard(_: Thresholds) -> Dashboard:
    """The page."""
    return page(
        uid="genai-users",
        title="GenAI users",
        description="Who uses it, and who spends most: how many users there are, what they cost, the top spenders, "
        "tiers, features and tenants, and the calls of one user.",
        source="stack/dashboards/users.py",
        texts={_USER: "Hash of a user, or its beginning: whose calls the table of calls shows"},
        rows=[
            Row("Who uses it, and who spends most?", [*_each(), *_top(), *_tiers()]),
            Row("What does this user do?", [_calls()]),
            Row("Who uses what?", _groups()),
        ],
    )


def _each() -> list[Builder[Panel]]:
    """The usual user."""
    return [
        active_users(width=6),
        figure(
            users("avg(cost) AS cost"),
            title="Cost a user",
            description="Mean money of the users with priced calls in the time range. Times the users, it is the bill "
            "of all that is attributed to one. Next: Top spenders, for how unevenly it is spread.",
            unit=DOLLARS,
            empty="No priced calls with a user in this time range",
            width=6,
            decimals=4,
        ),
        figure(
            users("avg(calls) AS calls"),
            title="Calls a user",
            description="Mean number of model calls of the active users, every outcome included.",
            unit=COUNT,
            empty=_NOBODY,
            width=6,
            decimals=1,
        ),
        figure(
            users("avg(tokens) AS tokens", "tokens > 0"),
            title="Tokens a user",
            description="Mean number of tokens, in and out, of the users with answered calls.",
            unit=COUNT,
            empty=_NOBODY,
            width=6,
            decimals=0,
        ),
    ]


def _top() -> list[Builder[Panel]]:
    return [
        rows(
            users(
                f"{USER}, cost, cost / sum(cost) OVER () AS share, calls",
                "cost > 0",
                rest="ORDER BY cost DESC LIMIT 10",
            ),
            title="Top spenders",
            description="The users whose calls cost most in the time range, and their share of what all users cost. A "
            "click on one shows the calls below. Far above the others: a loop, a script, or a shared account.",
            empty="No priced calls with a user in this time range",
            columns=[
                _OWN,
                Column("cost", "Cost", DOLLARS),
                Column("share", "Share of all", SHARE),
                Column("calls", "Calls", COUNT),
            ],
            sort_by="Cost",
            width=12,
            height=8,
        ),
        _most(
            "calls",
            title="Most calls",
            description="The users with most model calls in the time range. An alert tells of more a minute than a "
            "person can make.",
            empty=_NOBODY,
        ),
        _most(
            "failed",
            title="Most failures",
            description="The users with most calls without an answer: errors, timeouts and refusals. One user alone: "
            "look at what is asked, in the calls below.",
            empty="Nothing failed for a user in this time range",
            colour=RED,
        ),
    ]


def _most(
    amount: str, *, title: str, description: str, empty: str, colour: str = BLUE, width: int = 6
) -> Builder[Panel]:
    return ranking(
        users(f"{USER}, {amount}", f"{amount} > 0", rest=f"ORDER BY {amount} DESC LIMIT 7"),
        title=title,
        description=description,
        unit=COUNT,
        empty=empty,
        width=width,
        link=_CALLS_OF,
        colour=colour,
    )


def _tiers() -> list[Builder[Panel]]:
    return [
        ranking(
            users_by(USER_TIER),
            title="Users by tier",
            description="Active users of each plan. none stands for users whose calls have no tier.",
            unit=COUNT,
            empty=_NOBODY,
        ),
        ranking(
            usage_by(USER_TIER, amount="sum(cost)", of="users"),
            title="Cost by tier",
            description="Money of the calls of each plan's users in the time range. Held against what the plan earns, "
            "it says whether it pays.",
            unit=DOLLARS,
            empty="No priced calls with a user in this time range",
        ),
        _most(
            "tokens",
            title="Most tokens",
            description="The users with most tokens, in and out, in the time range. Many tokens at little cost: a "
            "cheap model, or mostly cached input.",
            empty=_NOBODY,
            width=8,
        ),
    ]


def _calls() -> Builder[Panel]:
    return rows(
        single(_CALLS, f"{_OWN.field} ^@ {typed(_USER)}", most=_MOST),
        title="Calls of the user",
        description=f"The latest {_MOST} model calls of the user that is typed or clicked above, newest first; of all "
        "users, if none is. The trace shows what happened.",
        empty=_NOBODY,
        columns=_CALLS,
        sort_by="Time",
        most=_MOST,
        width=24,
        height=14,
    )


def _groups() -> list[Builder[Panel]]:
    return [
        ranking(
            users_by(attribute),
            title=f"Users by {name}",
            description=f"Different users of each {name} in the time range. {advice}",
            unit=COUNT,
            empty=_NOBODY,
        )
        for attribute, name, advice in (
            (FEATURE, "feature", "Who uses several counts in each: the sum is more than the active users."),
            (TEAM, "team", "Users of the features that the team owns."),
            (TENANT, "tenant", "Users of each customer; none stands for those of no tenant."),
        )
    ]
