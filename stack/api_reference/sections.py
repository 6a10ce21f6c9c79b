"""The order of the page: by what a reader wants to do, each part with the guide that shows it at work."""

from typing import Final, NamedTuple


class Section(NamedTuple):
    """A part of the page. ``names`` are as in ``genai_observability.NAME``."""

    title: str
    guide: str
    names: tuple[str, ...]


SECTIONS: Final = (
    Section(
        "Recording",
        "Guides: [your first application](first-application.md), [each API](apis.md), [clients](clients.md), "
        "[time, retries, quotas, streams](streams.md), [logs and sampling](logs.md), [cost](cost.md), "
        "[batches](batches.md).",
        ("instrument", "Handle"),
    ),
    Section("Attribution", "Guide: [attribution](attribution.md).", ("attributed_to",)),
    Section(
        "Steps of chains",
        "Guide: [chains](chains.md).",
        ("workflow", "agent", "tool", "retrieval", "rerank", "embedding", "Opening", "Step"),
    ),
    Section(
        "Caches, fallbacks, load",
        "Guide: [chains](chains.md#caches-fallbacks-load).",
        ("cache", "Cache", "fallback", "circuit_breaker", "queue_depth"),
    ),
    Section(
        "Feedback and scores",
        "Guide: [feedback](feedback.md).",
        ("feedback", "evaluation", "feedback_token", "asgi.FeedbackEndpoint"),
    ),
    Section("Budgets", "Guide: [budgets](budgets.md).", ("Budget", "BudgetExceeded", "RedisStore")),
    Section("Content and security", "Guide: [content](content.md).", ("Content",)),
    Section("Feature flags", "Guide: [chains](chains.md#feature-flags).", ("openfeature.FeatureFlagHook",)),
)
OTHER_PAGES: Final = {"signals"}
"""Public modules with a page of their own: docs/catalogue.md."""
