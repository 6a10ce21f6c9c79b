"""Where the OpenTelemetry SDK tells of every span that starts and ends."""

import functools
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, cast

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from genai_observability._capture import streams
from genai_observability._capture.open_calls import OpenCall, OpenCalls
from genai_observability._capture.steps import OpenStep, OpenSteps, is_step
from genai_observability._context import attribution as _attribution
from genai_observability._export.spans import bare
from genai_observability._record.pipeline import Finished
from genai_observability._record.read import carries_content, is_model_call

_logger = logging.getLogger("genai_observability")

_MOST_FINISHED: Final = 10_000
"""Calls that may wait to be recorded: some 60 MB at the most."""
_AT_ONCE: Final = 16
"""Calls recorded together: a third cheaper than one by one. About 1 ms of work, for which another call may wait."""


@dataclass(frozen=True, slots=True)
class Sink:
    """What is done with finished spans: ``remember`` on the caller's thread; ``finish`` returns the span to export."""

    submit: Callable[[Callable[[], object]], bool]
    remember: Callable[[ReadableSpan, OpenCall | None], None]
    record_calls: Callable[[Sequence[Finished]], None]
    finish: Callable[[ReadableSpan, OpenStep | None], ReadableSpan]
    on_dropped: Callable[[], None]


class GenAISpanProcessor(SpanProcessor):
    """Gives every span its attribution, and finished model calls to the sink, as long as there is one."""

    def __init__(self, *, open_calls: OpenCalls, open_steps: OpenSteps) -> None:
        self._open_calls = open_calls
        self._open_steps = open_steps
        self._finished: deque[Finished] = deque()
        self.sink: Sink | None = None
        self.exporter: SpanProcessor | None = None
        """Where finished spans go next. ``None`` where the application's own provider has processors of its own."""

    def let_go(self) -> None:
        """Record nothing more. An application's tracer provider keeps its processors for ever, and so this one."""
        self.sink = None

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Set the attribution in force where the span starts. A fault in here is not the application's."""
        if self.sink is None:
            return
        try:
            attribution, is_call = _attribution.current(), is_model_call(span)
            self._open_steps.begin(span, parent_context, is_call=is_call)
            if is_call:
                self._open_calls.begin(span, attribution)
            # Of a model call it is only noted where the span is copied anyway, before it is exported.
            if attribution and not (is_call and self.exporter is not None):
                span.set_attributes(attribution)
        except Exception:
            _logger.debug("The beginning of a span could not be noted", exc_info=True)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a finished model call, step of a chain, or span with content; hand on every other span at once."""
        try:
            self._end(span)
        except Exception:
            _logger.debug("The end of a span could not be noted", exc_info=True)

    def _end(self, span: ReadableSpan) -> None:
        sink, step = self.sink, self._open_steps.end(span)
        is_call = is_model_call(span)
        call = self._open_calls.end(span) if is_call else None
        own = step if step is not None and not is_call and is_step(span) else None
        if call is not None and not call.counted:
            return
        if sink is None:
            self._export(bare(span) if carries_content(span) else span)
        elif is_call:
            sink.remember(span, call)
            if len(self._finished) >= _MOST_FINISHED:
                sink.on_dropped()
                self._export(bare(span))
            else:
                self._finished.append(Finished(span, call, step))
                sink.submit(self.record_calls)  # refused, another one of the tasks that wait will record it
        elif own is None and (self.exporter is None or not carries_content(span)):
            self._export(span)
        elif not sink.submit(functools.partial(self._finish, sink, span, own)):
            if own is not None:
                sink.on_dropped()
            self._export(bare(span))

    def record_calls(self) -> bool:
        """Record the calls that wait the longest; ``False`` for none: each is announced, and some go together."""
        sink, batch = self.sink, list[Finished]()
        while self._finished and len(batch) < _AT_ONCE:
            batch.append(self._finished.popleft())
        try:
            if batch and sink is not None:
                sink.record_calls(batch)
        finally:
            for each in batch:
                self._export(each.exported or bare(cast("ReadableSpan", each.span)))
        return bool(batch)

    def abandon_streams(self) -> None:
        """The streams that are still open are recorded as they are, whatever will be read of them."""
        for call in self._open_calls.streams():
            streams.end(call)

    def forget(self) -> None:
        """In a child made by fork: the calls that wait are the parent's."""
        self._finished.clear()

    def _finish(self, sink: Sink, span: ReadableSpan, step: OpenStep | None) -> None:
        finished = None
        try:
            finished = sink.finish(span, step)
        finally:
            self._export(finished or bare(span))

    def _export(self, span: ReadableSpan) -> None:
        if self.exporter is not None:
            self.exporter.on_end(span)

    def shutdown(self) -> None:
        """Record nothing more; end the exporter."""
        self.let_go()
        if self.exporter is not None:
            self.exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Export what was handed on so far; for queued calls too, use the handle's ``force_flush``."""
        return self.exporter is None or self.exporter.force_flush(timeout_millis)
