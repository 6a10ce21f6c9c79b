"""Security: is someone attacking, is something leaking, and does somebody use more than is theirs."""

from typing import Final

from genai_observability.signals import (
    BUDGET,
    BUDGET_ACTION,
    BUDGET_EXCEEDED,
    CALLS_UNPRICED,
    FEATURE,
    FINISH_REASONS,
    REFUSED,
    REQUEST_MODEL,
    SECURITY_DETAIL,
    SECURITY_FINDINGS,
    SECURITY_KIND,
    SECURITY_SOURCE,
    TEAM,
    TENANT,
    UNPRICED,
    USER_HASH,
)

from stack.dashboards.calls import ABOUT, TIME, TRACE, WHO, legend, of, single
from stack.dashboards.expressions import STEP, increase, recorded, ruled, top, total, where
from stack.dashboards.page import Row, page
from stack.dashboards.quality import TALK
from stack.dashboards.sdk import Builder, Dashboard, Panel
from stack.dashboards.sql import USER, Sql, chosen, column, during, known, usage, users
from stack.dashboards.style import (
    BLUE,
    COUNT,
    DOLLARS,
    ORANGE,
    RED,
    SHARE,
    Column,
    Limits,
    Link,
    Metrics,
    course,
    figure,
    ranking,
    rows,
)
from stack.rules.security import share_of_calls
from stack.thresholds import FindingBurst, Thresholds
from stack.usage.columns import FINDINGS

_UID: Final = "genai-security"
_OFF: Final = "No findings in this time range; they need instrument(detect_threats=True)"
_KINDS: Final = {"prompt_injection": ORANGE, "pii": BLUE, "system_prompt_leak": RED}
_REFUSED: Final = where(BUDGET_ACTION, "=", "refused")
_UNKNOWN: Final = where(UNPRICED, "=", "unknown_model")
_FILTERED: Final = f"'content_filter' = ANY ({column(FINISH_REASONS)})"
_USER: Final = of(USER_HASH, "User")
_KIND: Final = column(SECURITY_KIND, FINDINGS)
_MOST: Final = 10

_FINDINGS: Final = (
    Column(FINDINGS.time, "Time"),
    of(SECURITY_KIND, "Kind", table=FINDINGS),
    of(SECURITY_DETAIL, "Detail", table=FINDINGS),
    of(SECURITY_SOURCE, "Found in", table=FINDINGS),
    *ABOUT,
    of(TENANT, "Tenant"),
    _USER,
    TALK,
    TRACE,
)
_STOPPED: Final = (*WHO, of(TENANT, "Tenant"), _USER, TRACE)


def dashboard(thresholds: Thresholds) -> Dashboard:
    """The page; the limits of the alerts on findings colour its numbers."""
    return page(
        uid=_UID,
        title="GenAI security",
        description="Is someone attacking, is something leaking, does somebody use more than is theirs? Findings are "
        "heuristics of instrument(detect_threats=True): few and precise rather than complete.",
        source="stack/dashboards/security.py",
        rows=[
            Row("Is someone attacking, or something leaking?", _now(thresholds)),
            Row("Where, and who?", _where()),
            Row("Does someone use more than is theirs?", _use(thresholds)),
        ],
    )


def _now(thresholds: Thresholds) -> list[Builder[Panel]]:
    leak = thresholds.system_prompt_leak
    return [
        figure(
            Metrics(f"max({_share('prompt_injection')})"),
            title="Prompt injections",
            description="Share of the calls of 10 minutes with phrases that are meant to override the model's "
            "instructions, of the service that has most. Next: Latest findings below say who and how.",
            unit=SHARE,
            empty="No calls in this time range",
            width=4,
            limits=_limits(thresholds.prompt_injection),
            decimals=1,
        ),
        figure(
            Metrics(f"max({_share('pii')})"),
            title="Personal data",
            description="Share of the calls of 10 minutes with e-mail addresses, numbers of cards or the like, of the "
            "service that has most. Ordinary in many applications: what counts is a change.",
            unit=SHARE,
            empty="No calls in this time range",
            width=4,
            limits=_limits(thresholds.personal_data),
            decimals=1,
        ),
        figure(
            Metrics(_findings("system_prompt_leak"), instant=True),
            title="Leaks of the system prompt",
            description="Answers in the time range that quote the system prompt word for word. From the first on, "
            "treat as known to the world whatever it says; secrets do not belong into it.",
            unit=COUNT,
            empty="No calls in this time range",
            width=4,
            limits=Limits(leak.warning.above + 1, leak.critical.above + 1),
            decimals=0,
        ),
        figure(
            _found(f"nullif(count(DISTINCT {_USER.field}), 0) AS users"),
            title="Users with findings",
            description="Different users in whose calls something was found. One is a person to look at, many are "
            "how the application is used. A user is known by a hash only.",
            unit=COUNT,
            empty=_OFF,
            width=4,
            decimals=0,
        ),
        figure(
            Sql(usage("sum(calls) AS calls", _FILTERED)),
            title="Stopped by a content filter",
            description="Answers that a content filter of the provider ended. Next: the table at the end of the page.",
            unit=COUNT,
            empty="No filter stopped an answer",
            width=4,
            decimals=0,
        ),
        figure(
            Metrics(f"{total(increase(BUDGET_EXCEEDED, _REFUSED))} or vector(0)", instant=True),
            title="Refused by a budget",
            description="Calls in the time range that were not made, as a budget of the application was used up.",
            unit=COUNT,
            empty="No budgets",
            width=4,
            decimals=0,
        ),
        course(
            Metrics(total(increase(SECURITY_FINDINGS, window=STEP), SECURITY_KIND), legend(SECURITY_KIND)),
            title="Findings by kind",
            description="Calls with a finding in the time that each bar stands for; a call with several counts for "
            "each. A burst is somebody at work; a new steady level is a change in the application.",
            unit=COUNT,
            empty=_OFF,
            stacked=True,
            bars=True,
            colours=_KINDS,
        ),
        *(
            course(
                Metrics(f"max by (job) ({_share(kind)})", "{{job}}"),
                title=title,
                description="Share of the calls of 10 minutes, by service. The dashed lines are the limits of the "
                f"alert, which also wants more than {burst.times_usual:.15g} times the usual.",
                unit=SHARE,
                empty="No calls in this time range",
                limits=_limits(burst),
            )
            for kind, title, burst in (
                ("prompt_injection", "Prompt injections by service", thresholds.prompt_injection),
                ("pii", "Personal data by service", thresholds.personal_data),
            )
        ),
        rows(
            single(_FINDINGS, most=_MOST, table=FINDINGS),
            title="Latest findings",
            description="The latest signs of attacks and leaks, without content. In tool: what a tool returned tried "
            "to steer the model. The trace shows what the model did next.",
            empty=_OFF,
            columns=_FINDINGS,
            sort_by=TIME.title,
            width=24,
            height=9,
        ),
    ]


def _where() -> list[Builder[Panel]]:
    return [
        *(
            ranking(
                Metrics(top(total(increase(SECURITY_FINDINGS), *by)), legend(*by), instant=True),
                title=title,
                description=f"Calls with a finding in the time range. {advice}",
                unit=COUNT,
                empty=_OFF,
                width=6,
                colour=ORANGE,
                link=link,
            )
            for title, by, advice, link in (
                (
                    "What and where",
                    (SECURITY_KIND, SECURITY_DETAIL, SECURITY_SOURCE),
                    "Found in input (the user's), in what a tool returned, or in the output.",
                    None,
                ),
                (
                    "Findings by feature",
                    (FEATURE, SECURITY_KIND),
                    "A feature with tools and injections is the one to mend first.",
                    Link("Only this feature", to=_UID, choosing={"feature": FEATURE}),
                ),
                (
                    "Findings by tenant",
                    (TENANT, SECURITY_KIND),
                    "One tenant alone: talk to them, or to whoever uses their account.",
                    None,
                ),
                (
                    "Findings by model",
                    (REQUEST_MODEL, SECURITY_KIND),
                    "Where personal data goes to, and which models are being tried.",
                    Link("Only this model", to=_UID, choosing={"model": REQUEST_MODEL}),
                ),
            )
        ),
        rows(
            _found(
                f"{_USER.field}, {_KIND}, count(*) AS calls",
                rest=f"GROUP BY {_USER.field}, {_KIND} ORDER BY calls DESC LIMIT {_MOST}",
            ),
            title="Users with most findings",
            description="Who is in most of the findings. Many injections of one user are an attack; find the user by "
            "hashing your users' ids with the application's key.",
            empty="No findings with a user in this time range",
            columns=[
                _USER,
                Column(
                    _KIND,
                    "Kind",
                    colours={kind: (kind.replace("_", " "), colour) for kind, colour in _KINDS.items()},
                ),
                Column("calls", "Calls", COUNT),
            ],
            sort_by="Calls",
            height=8,
        ),
        course(
            Metrics(total(recorded(SECURITY_FINDINGS, window="1d"), SECURITY_KIND), legend(SECURITY_KIND)),
            title="Findings, each day of the last 30 days",
            description="Calls with a finding, a day. Somebody who comes back every day shows here first.",
            unit=COUNT,
            empty=_OFF,
            width=12,
            stacked=True,
            bars=True,
            last="30d",
            colours=_KINDS,
        ),
    ]


def _use(thresholds: Thresholds) -> list[Builder[Panel]]:
    limits = thresholds.user_limits
    unknown = total(increase(CALLS_UNPRICED, _UNKNOWN), REQUEST_MODEL, FEATURE, TEAM)
    return [
        rows(
            users(f"{USER}, cost, calls", "cost > 0", rest=f"ORDER BY cost DESC LIMIT {_MOST}"),
            title="Most expensive users",
            description="What single users cost in the time range. The alert fires at "
            f"${limits.usd_a_day:.15g} in 24 hours, {limits.requests_a_minute:.15g} calls a minute or "
            f"{limits.tokens_an_hour:,.0f} tokens an hour: a stolen account or a script looks like this.",
            empty="No priced calls with a user",
            columns=[_USER, Column("cost", "Cost", DOLLARS), Column("calls", "Calls", COUNT)],
            sort_by="Cost",
            width=8,
            height=8,
        ),
        course(
            Metrics(
                total(increase(BUDGET_EXCEEDED, window=STEP), BUDGET, BUDGET_ACTION), legend(BUDGET, BUDGET_ACTION)
            ),
            title="Calls beyond a budget",
            description="Calls that came when a budget of the application was used up, in the time that each bar "
            "stands for: refused ones were never made, the others were let through.",
            unit=COUNT,
            empty="No budget was used up in this time range",
            stacked=True,
            bars=True,
        ),
        rows(
            Metrics(top(unknown, _MOST)),
            title="Unknown models",
            description="Calls to models that no price table knows: one of your own that lacks its price "
            "(docs/cost.md), or one that nobody has approved.",
            empty="Every model is known",
            columns=[
                Column(REQUEST_MODEL.label, "Model"),
                Column(FEATURE.label, "Feature"),
                Column(TEAM.label, "Team"),
                Column("Value", "Calls", COUNT),
            ],
            sort_by="Calls",
            width=8,
            height=8,
        ),
        rows(
            single(_STOPPED, column(REFUSED), _FILTERED),
            title="Answers stopped by a content filter",
            description="The latest answers that the provider's filter ended. Again and again of one user: somebody "
            "tries what is not allowed. Of one feature: its prompt leads there.",
            empty="No filter stopped an answer",
            columns=_STOPPED,
            sort_by=TIME.title,
            width=24,
        ),
    ]


def _share(kind: str) -> str:
    return ruled(share_of_calls(kind))


def _found(select: str, *, rest: str = "") -> Sql:
    """Findings in calls of known users."""
    conditions = " AND ".join([during(FINDINGS.time), *chosen(FINDINGS), known(USER_HASH, FINDINGS)])
    return Sql(f"SELECT {select}\nFROM {FINDINGS.name}\nWHERE {conditions}\n{rest}".rstrip())


def _findings(kind: str) -> str:
    return f"{total(increase(SECURITY_FINDINGS, where(SECURITY_KIND, '=', kind)))} or vector(0)"


def _limits(burst: FindingBurst) -> Limits:
    return Limits(burst.warning.above, burst.critical.above)
