"""Users: who uses it, and who spends most. Users are in the request log alone, by a hash.

Each query first sums by user, so that Loki holds one series a user and not one a call: exact for as many users as
``max_query_series`` in loki/config.yaml. Every one reads the whole log of the time range; so there are few of them.
"""

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
    Attribute,
)

from stack.dashboards.calls import ENDED, TRACE, UNSUCCESSFUL, WHO, active_users, legend, lines
from stack.dashboards.expressions import RANGE, request_log, top, where
from stack.dashboards.page import Row, page
from stack.dashboards.sdk import Builder, Dashboard, Panel
from stack.dashboards.style import (
    BLUE,
    COUNT,
    DOLLARS,
    RED,
    SHARE,
    Column,
    Link,
    Logs,
    figure,
    ranking,
    rows,
)
from stack.thresholds import Thresholds

_USER: Final = "user"
_KNOWN: Final = where(USER_HASH, "!=", "")
_NOBODY: Final = "No calls with a user in this time range: name one in genai_observability.attributed_to(user=...)"
_CALLS_OF: Final = Link("Calls of this user", to="genai-users", choosing={_USER: USER_HASH})
_CALLS: Final = (
    *WHO,
    Column(USER_HASH.label, "User", link=_CALLS_OF),
    Column(USER_TIER.label, "Tier"),
    Column(COST.label, "Cost", DOLLARS),
    Column(INPUT_TOKENS.label, "Tokens in", COUNT),
    Column(OUTPUT_TOKENS.label, "Tokens out", COUNT),
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
            Logs(f"avg({_by_user(_cost())})"),
            title="Cost a user",
            description="Mean money of the users with priced calls in the time range. Times the users, it is the bill "
            "of all that is attributed to one. Next: Top spenders, for how unevenly it is spread.",
            unit=DOLLARS,
            empty="No priced calls with a user in this time range",
            width=6,
            decimals=4,
        ),
        figure(
            Logs(f"avg({_by_user(_count())})"),
            title="Calls a user",
            description="Mean number of model calls of the active users, every outcome included.",
            unit=COUNT,
            empty=_NOBODY,
            width=6,
            decimals=1,
        ),
        figure(
            Logs(f"avg({_by_user(_tokens())})"),
            title="Tokens a user",
            description="Mean number of tokens, in and out, of the users with answered calls.",
            unit=COUNT,
            empty=_NOBODY,
            width=6,
            decimals=0,
        ),
    ]


def _top() -> list[Builder[Panel]]:
    cost = _by_user(_cost())
    return [
        rows(
            Logs(f"topk(10, {cost})"),
            Logs(f"topk(10, {cost} / on () group_left () sum({_cost()}))"),
            title="Top spenders",
            description="The users whose calls cost most in the time range, and their share of what all users cost. A "
            "click on one shows the calls below. Far above the others: a loop, a script, or a shared account.",
            empty="No priced calls with a user in this time range",
            columns=[
                Column(USER_HASH.label, "User", link=_CALLS_OF),
                Column("Value #A", "Cost", DOLLARS),
                Column("Value #B", "Share of all", SHARE),
            ],
            sort_by="Cost",
            width=12,
            height=8,
        ),
        _most(
            _count(),
            title="Most calls",
            description="The users with most model calls in the time range. An alert tells of more a minute than a "
            "person can make.",
            empty=_NOBODY,
        ),
        _most(
            _count(UNSUCCESSFUL),
            title="Most failures",
            description="The users with most calls without an answer: errors, timeouts and refusals. One user alone: "
            "look at what is asked, in the calls below.",
            empty="Nothing failed for a user in this time range",
            colour=RED,
        ),
    ]


def _most(amount: str, *, title: str, description: str, empty: str, colour: str = BLUE) -> Builder[Panel]:
    return ranking(
        Logs(top(_by_user(amount)), legend(USER_HASH)),
        title=title,
        description=description,
        unit=COUNT,
        empty=empty,
        width=6,
        link=_CALLS_OF,
        colour=colour,
    )


def _tiers() -> list[Builder[Panel]]:
    return [
        ranking(
            Logs(_users_by(USER_TIER), legend(USER_TIER)),
            title="Users by tier",
            description="Active users of each plan. Without a name: users whose calls have no tier.",
            unit=COUNT,
            empty=_NOBODY,
        ),
        ranking(
            Logs(f"sort_desc(sum by ({USER_TIER.label}) ({_cost()}))", legend(USER_TIER)),
            title="Cost by tier",
            description="Money of the calls of each plan's users in the time range. Held against what the plan earns, "
            "it says whether it pays.",
            unit=DOLLARS,
            empty="No priced calls with a user in this time range",
        ),
        _most_tokens(),
    ]


def _most_tokens() -> Builder[Panel]:
    return ranking(
        Logs(top(_by_user(_tokens())), legend(USER_HASH)),
        title="Most tokens",
        description="The users with most tokens, in and out, in the time range. Many tokens at little cost: a cheap "
        "model, or mostly cached input.",
        unit=COUNT,
        empty=_NOBODY,
        link=_CALLS_OF,
    )


def _calls() -> Builder[Panel]:
    return rows(
        lines(request_log(_KNOWN, where(USER_HASH, "=~", f"${_USER}.*")), _CALLS, newest=200),
        title="Calls of the user",
        description="The latest model calls of the user that is typed or clicked above, newest first; of all users, if "
        "none is. The trace shows what happened.",
        empty=_NOBODY,
        columns=_CALLS,
        sort_by="Time (UTC)",
        most=200,
        width=24,
        height=14,
    )


def _groups() -> list[Builder[Panel]]:
    return [
        ranking(
            Logs(_users_by(attribute), legend(attribute)),
            title=f"Users by {name}",
            description=f"Different users of each {name} in the time range. {advice}",
            unit=COUNT,
            empty=_NOBODY,
        )
        for attribute, name, advice in (
            (FEATURE, "feature", "Who uses several counts in each: the sum is more than the active users."),
            (TEAM, "team", "Users of the features that the team owns."),
            (TENANT, "tenant", "Users of each customer; without a name: of none."),
        )
    ]


def _by_user(amount: str) -> str:
    return f"sum by ({USER_HASH.label}) ({amount})"


def _users_by(attribute: Attribute) -> str:
    return f"sort_desc(count by ({attribute.label}) (sum by ({attribute.label}, {USER_HASH.label}) ({_count()})))"


def _count(*conditions: str) -> str:
    return f"count_over_time({request_log(_KNOWN, *conditions)} [{RANGE}])"


def _cost() -> str:
    return f"sum_over_time({request_log(_KNOWN, where(COST, '!=', ''))} | unwrap {COST.label} [{RANGE}])"


def _tokens() -> str:
    """Embeddings report none of output: no number, which counts as 0."""
    both = f"label_format tokens=`{{{{ add (int .{INPUT_TOKENS.label}) (int .{OUTPUT_TOKENS.label}) }}}}`"
    answered = request_log(_KNOWN, where(INPUT_TOKENS, "!=", ""))
    return f"sum_over_time({answered} | {both} | unwrap tokens [{RANGE}])"
