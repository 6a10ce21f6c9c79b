"""Conversations and agents: all calls of one conversation in order; how often, how long and how well steps run."""

from typing import Final

from genai_observability.signals import (
    CONVERSATION,
    COST,
    DURATION,
    ERROR_TYPE,
    FEATURE,
    INPUT_TOKENS,
    OPERATION,
    OUTCOME,
    OUTPUT_TOKENS,
    SESSION,
    STEP_COSTS,
    STEP_DURATION,
    STEP_NAME,
)

from stack.dashboards.calls import ENDED, OUTCOME_COLOURS, TRACE, UNSUCCESSFUL, WHO, legend, of
from stack.dashboards.expressions import (
    RANGE,
    RATE,
    STEP,
    increase,
    quantile,
    share,
    shares,
    top,
    total,
    where,
)
from stack.dashboards.page import Row, page
from stack.dashboards.quality import TALK
from stack.dashboards.sdk import Builder, Dashboard, Panel
from stack.dashboards.sql import Sql, chosen, column, during, every, typed
from stack.dashboards.style import (
    COUNT,
    DOLLARS,
    SECONDS,
    SHARE,
    Column,
    Metrics,
    course,
    figure,
    ranking,
    rows,
)
from stack.thresholds import Thresholds

_UID: Final = "genai-agents"
_TALKS: Final = column(CONVERSATION)
_SESSIONS: Final = column(SESSION)
_TYPED: Final = typed("conversation")
_IS_TYPED: Final = f"{_TYPED} <> '' AND ({_TALKS} = {_TYPED} OR {_SESSIONS} = {_TYPED})"
"""Whether a call is of the conversation or session that the reader typed."""
_NOTHING: Final = f"{_TYPED} = ''"
_LATEST: Final = 100_000
"""Calls that are looked at, as conversations are not added up beforehand: a bounded time, however many there are."""
_OF_LATEST: Final = f"Of the latest {_LATEST:,} calls of the time range."

_NO_TALK: Final = "No calls of a conversation: name it with attributed_to(conversation=…) or attributed_to(session=…)"
_NO_STEPS: Final = "No steps in this time range: name them with genai_observability.agent(), tool() or workflow()"
_MOST: Final = 10
_CALLS: Final = 100
"""Of a conversation that are shown: more than most have."""
_AGENTS: Final = where(OPERATION, "=~", "invoke_agent|execute_tool|invoke_workflow")
_AGENT: Final = where(OPERATION, "=", "invoke_agent")
_TOOL: Final = where(OPERATION, "=", "execute_tool")
_STEP: Final = (OPERATION, STEP_NAME)
_KINDS: Final = Column(OPERATION.label, "Step")
_NAME: Final = Column(STEP_NAME.label, "Name")

_TALK: Final = (
    *WHO,
    ENDED,
    of(DURATION, "Duration", SECONDS),
    of(COST, "Cost", DOLLARS),
    of(INPUT_TOKENS, "Tokens in", COUNT),
    of(OUTPUT_TOKENS, "Tokens out", COUNT),
    TALK,
    of(SESSION, "Session"),
    TRACE,
)

_SIZE: Final = (Column("calls", "Calls", COUNT), Column("cost", "Cost", DOLLARS))


def dashboard(_: Thresholds) -> Dashboard:
    """The page."""
    return page(
        uid=_UID,
        title="GenAI conversations and agents",
        description="What happened in a conversation, call by call, and do agents, tools and workflows work? Choose a "
        "conversation by typing its id, or that of a session, or by a click on one.",
        source="stack/dashboards/agents.py",
        texts={"conversation": "Id of a conversation or a session; empty for all"},
        rows=[
            Row("What happened in this conversation?", _conversation()),
            Row("Which conversations are long or expensive?", _conversations()),
            Row("Do agents, tools and workflows work?", _steps()),
        ],
    )


def _conversation() -> list[Builder[Panel]]:
    return [
        figure(
            _conversations_of("nullif(count(*), 0) AS conversations"),
            title="Conversations",
            description=f"Different conversations with a call; 1 if one is chosen. {_OF_LATEST}",
            unit=COUNT,
            empty=_NO_TALK,
            width=5,
            decimals=0,
        ),
        figure(
            _conversations_of("avg(calls) AS calls"),
            title="Calls a conversation",
            description="Mean number of model calls of a conversation. A growing one: users have to ask again, or an "
            f"agent takes more turns. The longest ones are listed below. {_OF_LATEST}",
            unit=COUNT,
            empty=_NO_TALK,
            width=5,
            decimals=1,
        ),
        figure(
            _conversations_of("avg(cost) AS cost"),
            title="Cost a conversation",
            description="Mean cost of the priced calls of a conversation. The longer it is, the dearer is each further "
            f"call, as all that was said is sent again. {_OF_LATEST}",
            unit=DOLLARS,
            empty="No priced calls of a conversation",
            width=5,
        ),
        figure(
            Metrics(total(increase(STEP_DURATION, _AGENT, part="count")), instant=True),
            title="Runs of agents",
            description="Runs of agents in the time range. Which ones, and how they end: the last row of this page.",
            unit=COUNT,
            empty="No agent ran in this time range",
            width=5,
            decimals=0,
        ),
        figure(
            Metrics(
                share(
                    increase(STEP_DURATION, _AGENTS, UNSUCCESSFUL, part="count"),
                    increase(STEP_DURATION, _AGENTS, part="count"),
                ),
                instant=True,
            ),
            title="Failed steps",
            description="Share of the runs of agents, tools and workflows that ended in an error or a timeout. "
            "Next: Failures of steps below.",
            unit=SHARE,
            empty=_NO_STEPS,
            width=4,
            decimals=1,
        ),
        rows(
            _calls_of_one(),
            title="Calls of the conversation, in order",
            description=f"The latest {_CALLS} model calls of the conversation or session that is chosen above, oldest "
            "first; of all conversations, if none is. A click on a conversation chooses it. The trace shows the "
            "steps between the calls.",
            empty=_NO_TALK,
            columns=_TALK,
            sort_by="Time",
            ascending=True,
            most=_CALLS,
            width=24,
            height=10,
        ),
        rows(
            _conversations_of(f"{_TALKS}, ended_at, calls, cost", f"ORDER BY ended_at DESC LIMIT {_MOST}"),
            title="Latest conversations",
            description=f"Those with the latest calls. A click on one shows its calls above. {_OF_LATEST}",
            empty="No calls with a conversation in this time range",
            columns=[TALK, Column("ended_at", "Last call"), *_SIZE],
            sort_by="Last call",
            width=24,
            height=7,
        ),
    ]


def _conversations() -> list[Builder[Panel]]:
    return [
        rows(
            _conversations_of(f"{_TALKS}, calls, cost", f"ORDER BY calls DESC LIMIT {_MOST}"),
            title="Longest conversations",
            description="Those with most calls. Read one of them: does the user get on, or ask the same question "
            f"again? The second needs a better prompt. {_OF_LATEST}",
            empty="No calls with a conversation in this time range",
            columns=[TALK, *_SIZE],
            sort_by="Calls",
        ),
        rows(
            _conversations_of(f"{_TALKS}, calls, cost", f"WHERE cost > 0\nORDER BY cost DESC LIMIT {_MOST}"),
            title="Most expensive conversations",
            description="Those that cost most. Dear by many calls: shorten the history that is sent along. Dear by "
            f"few: a large model or long documents. {_OF_LATEST}",
            empty="No priced calls with a conversation in this time range",
            columns=[TALK, *reversed(_SIZE)],
            sort_by="Cost",
        ),
    ]


def _steps() -> list[Builder[Panel]]:
    runs = total(increase(STEP_DURATION, _AGENTS, part="count"), *_STEP)
    failed = total(increase(STEP_DURATION, _AGENTS, UNSUCCESSFUL, part="count"), *_STEP)
    cost = total(increase(STEP_COSTS, _AGENTS), *_STEP)
    return [
        rows(
            Metrics(f"{runs} > 0"),
            Metrics(quantile(0.5, STEP_DURATION, _AGENTS, by=_STEP, window=RANGE)),
            Metrics(quantile(0.95, STEP_DURATION, _AGENTS, by=_STEP, window=RANGE)),
            Metrics(shares(failed, runs)),
            Metrics(cost),
            Metrics(f"{cost} / ({runs} > 0)"),
            title="Agents, tools and workflows",
            description="How often each runs, how long it takes, how it ends, and what the model calls inside it "
            "cost. Steps are inside of each other: costs of different kinds must not be added up. The version of an "
            "agent is on its spans.",
            empty=_NO_STEPS,
            columns=[
                _KINDS,
                _NAME,
                Column("Value #A", "Runs", COUNT),
                Column("Value #B", "p50", SECONDS),
                Column("Value #C", "p95", SECONDS),
                Column("Value #D", "Failed", SHARE),
                Column("Value #E", "Cost", DOLLARS),
                Column("Value #F", "Cost a run", DOLLARS),
            ],
            sort_by="Runs",
            width=24,
        ),
        course(
            Metrics(total(increase(STEP_DURATION, _AGENTS, part="count", window=STEP), *_STEP), legend(*_STEP)),
            title="Runs over time",
            description="Runs of each step in the time that each bar stands for. More uses of a tool for each run of "
            "its agent: the model does not get from it what it needs.",
            unit=COUNT,
            empty=_NO_STEPS,
            bars=True,
            stacked=True,
        ),
        course(
            Metrics(quantile(0.95, STEP_DURATION, _AGENTS, by=_STEP), legend(*_STEP), exemplars=True),
            title="Duration p95",
            description="95 % of the runs of each step take less than this. A slow agent with quick tools waits for "
            "its model; a point marked as exemplar opens the trace of that run.",
            unit=SECONDS,
            empty=_NO_STEPS,
        ),
        course(
            Metrics(
                shares(
                    total(increase(STEP_DURATION, _AGENTS, UNSUCCESSFUL, part="count", window=RATE), *_STEP),
                    total(increase(STEP_DURATION, _AGENTS, part="count", window=RATE), *_STEP),
                ),
                legend(*_STEP),
            ),
            title="Failed runs",
            description="Share of the runs of each step that ended in an error or a timeout. A tool that fails alone: "
            "what it calls; with its agent: the model or its provider.",
            unit=SHARE,
            empty=_NO_STEPS,
        ),
        course(
            Metrics(total(increase(STEP_COSTS, _AGENT, window=STEP), STEP_NAME), legend(STEP_NAME)),
            title="Cost of agents",
            description="Money spent on the model calls inside of agents, in the time that each bar stands for. Agents "
            "that call each other are counted twice.",
            unit=DOLLARS,
            empty="No priced calls inside of an agent",
            stacked=True,
            bars=True,
        ),
        ranking(
            Metrics(
                top(total(increase(STEP_DURATION, _TOOL, part="count"), STEP_NAME, FEATURE)),
                legend(STEP_NAME, FEATURE),
                instant=True,
            ),
            title="Uses of tools",
            description="How often models had each tool used, by feature. One that is never used is only paid for "
            "with each prompt that describes it.",
            unit=COUNT,
            empty="No tool was used in this time range",
        ),
        rows(
            Metrics(
                top(
                    total(increase(STEP_DURATION, UNSUCCESSFUL, part="count"), *_STEP, OUTCOME, ERROR_TYPE, FEATURE),
                    _MOST,
                )
            ),
            title="Failures of steps",
            description="Steps that failed in the time range, searches and rerankings among them, by the class of "
            "the error. The traces of the feature's calls show the step.",
            empty="No step failed in this time range",
            columns=[
                _KINDS,
                _NAME,
                Column(FEATURE.label, "Feature"),
                Column(OUTCOME.label, "Outcome", colours={each: (each, hue) for each, hue in OUTCOME_COLOURS.items()}),
                Column(ERROR_TYPE.label, "Error"),
                Column("Value", "Runs", COUNT),
            ],
            sort_by="Runs",
            width=8,
            height=8,
        ),
    ]


def _calls_of_one() -> Sql:
    shown = ", ".join(each.field for each in _TALK)
    some = f"({_TALKS} IS NOT NULL OR {_SESSIONS} IS NOT NULL)"
    return Sql(f"SELECT {shown}\nFROM {_calls(some)}\nORDER BY ended_at DESC\nLIMIT {_CALLS}")


def _conversations_of(select: str, rest: str = "") -> Sql:
    """Something of the conversations, each of which is a row with its sums."""
    sums = f"SELECT {_TALKS}, count(*) AS calls, sum(cost) AS cost, max(ended_at) AS ended_at"
    each = f"{sums}\nFROM {_calls(f'{_TALKS} IS NOT NULL')}\nGROUP BY {_TALKS}"
    return Sql(f"SELECT {select}\nFROM (\n{each}\n) AS conversations\n{rest}".rstrip())


def _calls(*conditions: str) -> str:
    """The calls of the conversation or session that the reader typed; where that is nothing, the latest of all.

    The conditions on what was typed are about a constant: PostgreSQL looks for one of the two parts alone.
    """
    typed_one = f"SELECT *\nFROM calls\nWHERE {every([during('ended_at'), _IS_TYPED])}"
    latest = f"SELECT *\nFROM calls\nWHERE {every([during('ended_at'), _NOTHING])}"
    either = f"{typed_one}\nUNION ALL (\n{latest}\nORDER BY ended_at DESC\nLIMIT {_LATEST}\n)"
    return f"(\n{either}\n) AS calls\nWHERE {every([*chosen(), *conditions])}"
