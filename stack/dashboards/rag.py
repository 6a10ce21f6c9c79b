"""Caches and retrieval: do the caches answer and what do they save, does retrieval find anything, and how fast."""

from typing import Final

from genai_observability.signals import (
    CACHE_AGE,
    CACHE_EVICTIONS,
    CACHE_NAME,
    CACHE_REQUESTS,
    CACHE_RESULT,
    CACHE_SAVED_COST,
    CACHE_SAVED_TIME,
    CACHE_SIMILARITY,
    CACHE_SIZE,
    CALL_TOKENS,
    CALL_TOKENS_DETAIL,
    FEATURE,
    OPERATION,
    REQUEST_MODEL,
    STEP_DOCUMENTS,
    STEP_DURATION,
    STEP_NAME,
    STEP_SCORES,
    TOKEN_TYPE,
)

from stack.dashboards.calls import UNSUCCESSFUL, legend
from stack.dashboards.expressions import (
    RANGE,
    RATE,
    STEP,
    increase,
    quantile,
    rate,
    recorded,
    ruled,
    series,
    share,
    shares,
    total,
    where,
)
from stack.dashboards.page import Row, page
from stack.dashboards.sdk import Builder, Dashboard, Panel
from stack.dashboards.style import (
    COUNT,
    DOLLARS,
    GREEN,
    GREY,
    RED,
    SCORE,
    SECONDS,
    SHARE,
    Column,
    Limits,
    Metrics,
    course,
    figure,
    heat,
    rows,
)
from stack.rules.promql import at_most
from stack.rules.waste import HIT_RATE
from stack.thresholds import Thresholds

_NO_CACHE: Final = "No requests to a cache in this time range: tell genai_observability.cache() of hits and misses"
_NO_SEARCH: Final = "Nothing was searched in this time range: name searches with genai_observability.retrieval()"
_ASKED: Final = where(CACHE_RESULT, "=~", "hit|miss")
"""A false hit was counted as a hit before."""
_HIT: Final = where(CACHE_RESULT, "=", "hit")
_MISS: Final = where(CACHE_RESULT, "=", "miss")
_FALSE: Final = where(CACHE_RESULT, "=", "false_hit")
_SEARCHES: Final = where(OPERATION, "=~", "retrieval|rerank")
_STEP: Final = (OPERATION, STEP_NAME)


def dashboard(thresholds: Thresholds) -> Dashboard:
    """The page; the limits of the alert on hit rates colour its numbers."""
    return page(
        uid="genai-rag",
        title="GenAI caches and RAG",
        description="Do the caches answer, what do they save, and does retrieval find what the answers need? Caches "
        "of the application itself, and that of the provider.",
        source="stack/dashboards/rag.py",
        rows=[
            Row("Do the caches answer, and what do they save?", _caches(thresholds)),
            Row("Would another threshold be better?", _similarity()),
            Row("Does retrieval find anything, and how fast?", _retrieval()),
            Row("Does the provider's cache help?", _provider()),
        ],
    )


def _caches(thresholds: Thresholds) -> list[Builder[Panel]]:
    drop = thresholds.cache_hit_rate_drop
    least = Limits(1 - drop.info.above, 1 - drop.warning.above, low_is_bad=True)
    hit_rate = ruled(HIT_RATE, labels=(CACHE_NAME,))
    usual = f"avg_over_time({hit_rate}[1d] offset 30m) >= {drop.min_usual:.15g}"
    return [
        figure(
            Metrics(share(increase(CACHE_REQUESTS, _HIT), increase(CACHE_REQUESTS, _ASKED)), "now", instant=True),
            Metrics(
                share(increase(CACHE_REQUESTS, _HIT, ago=RANGE), increase(CACHE_REQUESTS, _ASKED, ago=RANGE)),
                "period before",
                instant=True,
            ),
            title="Hit rate",
            description="Share of the requests that a cache answered, in the time range and in the equally long one "
            "before it. Each miss is paid for and waited for.",
            unit=SHARE,
            empty=_NO_CACHE,
            width=6,
            decimals=1,
        ),
        figure(
            Metrics(f"min({hit_rate} / ({usual}))", instant=True),
            title="Of the usual hit rate",
            description="Hit rate of the last half hour as a part of its mean of the day before, of the cache that "
            "lost most. The alert on hit rates begins where it turns orange: was the cache emptied, its key changed, "
            "its threshold raised?",
            unit=SHARE,
            empty=f"Not known yet: it takes {drop.min_requests} requests in half an hour, and a day",
            width=4,
            limits=least,
            decimals=0,
        ),
        figure(
            Metrics(share(increase(CACHE_REQUESTS, _FALSE), increase(CACHE_REQUESTS, _HIT)), instant=True),
            title="False hits",
            description="Share of the hits that turned out to be wrong: users got the answer to another question. "
            "More than a few: raise the similarity that the cache asks for.",
            unit=SHARE,
            empty="No hits in this time range",
            width=4,
            decimals=1,
        ),
        figure(
            Metrics(total(increase(CACHE_SAVED_COST)), instant=True),
            title="Money saved",
            description="What the calls would have cost that hits spared, in the time range, as the application says.",
            unit=DOLLARS,
            empty="No hit came with what it saved",
            width=3,
            decimals=2,
        ),
        figure(
            Metrics(total(increase(CACHE_SAVED_TIME)), instant=True),
            title="Time saved",
            description="How long users would have waited for the calls that hits spared, all together, in the time "
            "range, as the application says.",
            unit=SECONDS,
            empty="No hit came with what it saved",
            width=3,
        ),
        figure(
            Metrics(share(_detail("cached"), _tokens("input")), instant=True),
            title="Read from the provider's cache",
            description="Share of the input tokens that the provider had in its own prompt cache, which are cheaper. "
            "Next: the last row of this page.",
            unit=SHARE,
            empty="No tokens in this time range",
            width=4,
            decimals=1,
        ),
        course(
            Metrics(
                shares(
                    total(increase(CACHE_REQUESTS, _HIT, window=RATE), CACHE_NAME),
                    total(increase(CACHE_REQUESTS, _ASKED, window=RATE), CACHE_NAME),
                ),
                legend(CACHE_NAME),
            ),
            Metrics(f"max by ({CACHE_NAME.label}) ({usual})", f"{legend(CACHE_NAME)}, usual"),
            title="Hit rate by cache",
            description="Share of the requests that each cache answered, and the mean of the day before. A step down "
            "to nothing is a cache that was emptied or cannot be reached.",
            unit=SHARE,
            empty=_NO_CACHE,
        ),
        course(
            Metrics(total(increase(CACHE_REQUESTS, window=STEP), CACHE_RESULT), legend(CACHE_RESULT)),
            title="Hits, misses and false hits",
            description="Requests to all caches in the time that each bar stands for. A false hit is counted twice: "
            "as the hit that it was first.",
            unit=COUNT,
            empty=_NO_CACHE,
            stacked=True,
            bars=True,
            colours={"hit": GREEN, "miss": GREY, "false_hit": RED},
        ),
        course(
            Metrics(total(increase(CACHE_SAVED_COST, window=STEP), CACHE_NAME), legend(CACHE_NAME)),
            title="Money saved over time",
            description="What hits spared in the time that each bar stands for, by cache.",
            unit=DOLLARS,
            empty="No hit came with what it saved",
            stacked=True,
            bars=True,
        ),
        rows(
            Metrics(f"{total(increase(CACHE_REQUESTS, _ASKED), CACHE_NAME)} > 0"),
            Metrics(
                shares(
                    total(increase(CACHE_REQUESTS, _HIT), CACHE_NAME),
                    total(increase(CACHE_REQUESTS, _ASKED), CACHE_NAME),
                )
            ),
            Metrics(total(increase(CACHE_REQUESTS, _FALSE), CACHE_NAME)),
            Metrics(total(increase(CACHE_SAVED_COST), CACHE_NAME)),
            Metrics(total(increase(CACHE_SAVED_TIME), CACHE_NAME)),
            Metrics(quantile(0.5, CACHE_AGE, by=(CACHE_NAME,), window=RANGE)),
            Metrics(total(series(CACHE_SIZE), CACHE_NAME)),
            Metrics(total(increase(CACHE_EVICTIONS), CACHE_NAME)),
            title="Caches",
            description="What each cache does. Many evictions and young hits: it is too small. Few hits and no "
            "evictions: its questions differ too much, or its threshold is too high. Entries are added up over all "
            "processes: a cache that they share is counted by each.",
            empty=_NO_CACHE,
            columns=[
                Column(CACHE_NAME.label, "Cache"),
                Column("Value #A", "Requests", COUNT),
                Column("Value #B", "Hit rate", SHARE),
                Column("Value #C", "False hits", COUNT),
                Column("Value #D", "Money saved", DOLLARS),
                Column("Value #E", "Time saved", SECONDS),
                Column("Value #F", "Median age of hits", SECONDS),
                Column("Value #G", "Entries now", COUNT),
                Column("Value #H", "Evictions", COUNT),
            ],
            sort_by="Requests",
            width=24,
            height=9,
        ),
    ]


def _similarity() -> list[Builder[Panel]]:
    asked, hits = (total(recorded(CACHE_REQUESTS, which, window="1d"), CACHE_NAME) for which in (_ASKED, _HIT))
    return [
        *(
            heat(
                Metrics(f"sum by (le) ({rate(CACHE_SIMILARITY, which, part='bucket')})"),
                title=title,
                description=f"How similar the nearest question in the cache was to the one asked, from 0 to 1, over "
                f"time: darker is more. {advice}",
                unit=SCORE,
                empty="No request to a cache came with a similarity",
                width=8,
            )
            for which, title, advice in (
                (_MISS, "Similarity of misses", "Those just below the threshold are what a lower one would add."),
                (_HIT, "Similarity of hits", "Those just above the threshold are what a higher one would lose."),
                (
                    _FALSE,
                    "Similarity of false hits",
                    "A threshold above most of them, and below most of the hits, is the one to choose.",
                ),
            )
        ),
        course(
            Metrics(shares(hits, asked), legend(CACHE_NAME)),
            title="Hit rate, each day of the last 30 days",
            description="Share of a day's requests that each cache answered. A slow decline: the questions change, "
            "and what the cache holds grows old.",
            unit=SHARE,
            empty="No requests to a cache in 30 days",
            width=24,
            bars=True,
            last="30d",
        ),
    ]


def _retrieval() -> list[Builder[Panel]]:
    def found(window: str) -> str:
        return total(increase(STEP_DOCUMENTS, _SEARCHES, part="count", window=window), *_STEP)

    def empty(window: str) -> str:
        none = total(increase(STEP_DOCUMENTS, _SEARCHES, at_most(0.0), part="bucket", window=window), *_STEP)
        return shares(none, found(window))

    runs = total(increase(STEP_DURATION, _SEARCHES, part="count"), *_STEP)
    failed = total(increase(STEP_DURATION, _SEARCHES, UNSUCCESSFUL, part="count"), *_STEP)
    documents = total(increase(STEP_DOCUMENTS, _SEARCHES, part="sum"), *_STEP)
    points, scored = (total(increase(STEP_SCORES, _SEARCHES, part=part), *_STEP) for part in ("sum", "count"))
    return [
        rows(
            Metrics(f"{runs} > 0"),
            Metrics(quantile(0.5, STEP_DURATION, _SEARCHES, by=_STEP, window=RANGE)),
            Metrics(quantile(0.95, STEP_DURATION, _SEARCHES, by=_STEP, window=RANGE)),
            Metrics(f"{documents} / ({found(RANGE)} > 0)"),
            Metrics(empty(RANGE)),
            Metrics(f"{points} / ({scored} > 0)"),
            Metrics(shares(failed, runs)),
            title="Searches and rerankings",
            description="Each data source and reranker. Empty searches make the model invent its answer: what was "
            "asked for is missing, or the search is too strict. A low best score says the same more softly.",
            empty=_NO_SEARCH,
            columns=[
                Column(OPERATION.label, "Step"),
                Column(STEP_NAME.label, "Data source or reranker"),
                Column("Value #A", "Runs", COUNT),
                Column("Value #B", "p50", SECONDS),
                Column("Value #C", "p95", SECONDS),
                Column("Value #D", "Documents a run", COUNT),
                Column("Value #E", "Empty", SHARE),
                Column("Value #F", "Mean best score", SCORE),
                Column("Value #G", "Failed", SHARE),
            ],
            sort_by="Runs",
            width=24,
            height=8,
        ),
        course(
            Metrics(
                quantile(0.95, STEP_DURATION, _SEARCHES, by=_STEP),
                legend(OPERATION, STEP_NAME),
                exemplars=True,
            ),
            title="Search time p95",
            description="95 % of the searches and rerankings take less than this. It comes on top of the model's "
            "time, before the first token.",
            unit=SECONDS,
            empty=_NO_SEARCH,
        ),
        course(
            Metrics(empty(RATE), legend(OPERATION, STEP_NAME)),
            title="Empty searches",
            description="Share of the searches that found no document. A step up after a deploy: index, filter or "
            "embedding model have changed.",
            unit=SHARE,
            empty=_NO_SEARCH,
        ),
        heat(
            Metrics(f"sum by (le) ({rate(STEP_SCORES, _SEARCHES, part='bucket')})"),
            title="Best score of searches",
            description="Highest score of the documents of each search and reranking, over time: darker is more. "
            "Fit for scales from 0 to 1; a band that sinks means that users ask for what is not in the documents.",
            unit=SCORE,
            empty="No search came with scores: pass pairs of id and score to step.documents()",
            width=8,
        ),
    ]


def _provider() -> list[Builder[Panel]]:
    cached, tokens = (total(each, FEATURE, REQUEST_MODEL) for each in (_detail("cached"), _tokens("input")))
    return [
        course(
            Metrics(
                shares(
                    total(rate(CALL_TOKENS_DETAIL, where(TOKEN_TYPE, "=", "cached")), REQUEST_MODEL),
                    total(rate(CALL_TOKENS, where(TOKEN_TYPE, "=", "input"), part="sum"), REQUEST_MODEL),
                ),
                legend(REQUEST_MODEL),
            ),
            title="Cached share of the input, by model",
            description="Share of the input tokens that came from the provider's cache. It rises with a long common "
            "beginning of the prompts: instructions and documents first, what differs last.",
            unit=SHARE,
            empty="No tokens in this time range",
            width=12,
        ),
        rows(
            Metrics(f"{tokens} > 0"),
            Metrics(shares(cached, tokens)),
            title="Input tokens and their cached share",
            description="The features with most input tokens. A large one with a small share is the cheapest saving: "
            "let all of its prompts begin alike.",
            empty="No tokens in this time range",
            columns=[
                Column(FEATURE.label, "Feature"),
                Column(REQUEST_MODEL.label, "Model"),
                Column("Value #A", "Input tokens", COUNT),
                Column("Value #B", "Cached", SHARE),
            ],
            sort_by="Input tokens",
            height=8,
        ),
    ]


def _tokens(kind: str) -> str:
    return increase(CALL_TOKENS, where(TOKEN_TYPE, "=", kind), part="sum")


def _detail(kind: str) -> str:
    return increase(CALL_TOKENS_DETAIL, where(TOKEN_TYPE, "=", kind))
