"""The light spans of model calls are to everybody what the SDK's would be."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from genai_observability._calls.call_spans import CallSpan, CallTracer
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Span as SDKSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
    use_span,
)

CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini", "gen_ai.request.stop": ["END", "FIN"]}


class Ended(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def both(
    sampler: Sampler = ALWAYS_ON, limits: SpanLimits | None = None
) -> tuple[tuple[Tracer, Ended], tuple[Tracer, Ended]]:
    """A tracer of the SDK with what it ends, and one whose spans are light."""
    made = []
    for light in (False, True):
        provider, ended = TracerProvider(sampler=sampler, span_limits=limits, shutdown_on_exit=False), Ended()
        provider.add_span_processor(ended)
        tracer: Any = provider.get_tracer("test", "1.0")
        made.append((CallTracer(tracer, lambda: True) if light else tracer, ended))
    return made[0], made[1]


def seen(span: ReadableSpan) -> dict[str, Any]:
    """All that an exporter can see of a span, but its ids and times."""
    context, parent = span.context, span.parent
    assert context is not None
    assert context.is_valid
    assert (span.start_time or 0) <= (span.end_time or 0)
    return {
        "name": span.name,
        "kind": span.kind,
        "flags": context.trace_flags,
        "state": context.trace_state,
        "parent": parent and parent.span_id,
        "trace": parent and context.trace_id,
        "attributes": dict(span.attributes or {}),
        "events": [
            (event.name, {k: v for k, v in (event.attributes or {}).items() if k != "exception.stacktrace"})
            for event in span.events
        ],
        "links": [(link.context, dict(link.attributes or {})) for link in span.links],
        "status": (span.status.status_code, span.status.description),
        "scope": span.instrumentation_scope,
        "resource": span.resource.attributes["telemetry.sdk.name"],
        "dropped": (span.dropped_events, span.dropped_links),
    }


def plain(span: Span) -> None:
    span.set_attribute("answer", "yes")


def odd_values(span: Span) -> None:
    reasons: list[Any] = ["stop", "length"]
    values: dict[Any, Any] = {"list": reasons, "none": None, "object": object, "mixed": [1, "two"], "": "no name"}
    span.set_attributes(values)
    span.set_attributes({"map": {"a": 1}, "bytes": b"raw", "nothing": [], "number": 1.5})
    reasons.append("changed later")


def events_and_links(span: Span) -> None:
    span.add_event("first", {"a": [1, 2]})
    span.add_event("second")
    span.add_link(SpanContext(3, 4, is_remote=True), {"why": "batch"})
    span.update_name("chat renamed")


def an_exception(span: Span) -> None:
    with pytest.raises(ValueError, match="broken"), use_span(span, record_exception=True):
        raise ValueError("broken")


def statuses(span: Span) -> None:
    span.set_status(StatusCode.ERROR, "first")
    span.set_status(Status(StatusCode.OK))
    span.set_status(StatusCode.ERROR, "an error after success is ignored")


def after_its_end(span: Span) -> None:
    span.set_attribute("before", 1)
    span.end(end_time=2**62)
    span.set_attribute("after", 1)
    span.set_attributes({"after": 2})
    span.add_event("after")
    span.set_status(StatusCode.ERROR)
    assert not span.is_recording()
    span.end()


@pytest.mark.parametrize("use", [plain, odd_values, events_and_links, an_exception, statuses, after_its_end])
def test_whatever_is_done_with_a_span_the_same_is_seen_of_it(
    use: Callable[[Span], None], caplog: pytest.LogCaptureFixture
) -> None:
    logged, found = [], []
    for tracer, ended in both():
        caplog.clear()
        span = tracer.start_span("chat gpt-4o-mini", kind=SpanKind.CLIENT, attributes=CALL)
        assert isinstance(span, CallSpan) is isinstance(tracer, CallTracer)
        assert span.is_recording()
        use(span)
        if span.is_recording():
            span.end()
        found.append([seen(each) for each in ended.spans])
        logged.append([(record.levelno, record.getMessage()) for record in caplog.records])
    assert found[0] == found[1]
    assert logged[0] == logged[1]
    assert len(found[1]) == 1
    assert any(level == logging.WARNING for level, _ in logged[1]) is (use in (odd_values, after_its_end))


@pytest.mark.parametrize("flags", [None, 0, 1, 2, 3])
@pytest.mark.parametrize("sampler", [ALWAYS_ON, ALWAYS_OFF, ParentBased(ALWAYS_OFF), TraceIdRatioBased(0.5)])
def test_it_is_sampled_and_joined_to_its_parent_as_the_sdk_would(sampler: Sampler, flags: int | None) -> None:
    trace_id, state = 2**127 + 5, TraceState([("vendor", "1")])
    context = None
    if flags is not None:
        parent = SpanContext(trace_id, 6, is_remote=True, trace_flags=TraceFlags(flags), trace_state=state)
        context = set_span_in_context(NonRecordingSpan(parent))
    found = []
    for tracer, ended in both(sampler):
        span = tracer.start_span("chat", context=context, attributes=CALL)
        span.end()
        by_chance = flags is None and isinstance(sampler, TraceIdRatioBased)  # of the new trace's id
        found.append((None if by_chance else span.get_span_context().trace_flags, ended.spans))
    (flag, ended_by_sdk), (light_flag, ended_light) = found
    assert flag == light_flag
    if not by_chance:
        assert [seen(each) for each in ended_by_sdk] == [seen(each) for each in ended_light]


def test_spans_that_are_no_calls_or_have_limits_or_watchers_are_the_sdks_own() -> None:
    _, (tracer, _) = both()
    assert not isinstance(tracer.start_span("tool", attributes={"gen_ai.operation.name": "execute_tool"}), CallSpan)
    assert not isinstance(tracer.start_span("chat", attributes=CALL, links=[Link(SpanContext(1, 2, True))]), CallSpan)
    with tracer.start_as_current_span("chat", attributes=CALL) as span:
        assert not isinstance(span, CallSpan)
    _, (bounded, ended) = both(limits=SpanLimits(max_span_attribute_length=3))
    bounded.start_span("chat", attributes=CALL).end()
    assert (ended.spans[0].attributes or {})["gen_ai.request.model"] == "gpt"
    sdk: Any = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    assert not isinstance(CallTracer(sdk, lambda: False).start_span("chat", attributes=CALL), CallSpan)


def test_with_another_sdk_its_own_spans_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_more(span: Any, *args: Any, **kwargs: Any) -> None:
        initialised(span, *args, **kwargs)
        span._new_in_this_version = True

    initialised = SDKSpan.__init__
    monkeypatch.setattr(SDKSpan, "__init__", with_more)
    _, (tracer, ended) = both()
    span = tracer.start_span("chat", attributes=CALL)
    span.end()
    assert not isinstance(span, CallSpan)
    assert len(ended.spans) == 1
