"""Where the OpenTelemetry SDK tells of every span that starts and ends."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from time import time_ns
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace.status import Status, StatusCode
from opentelemetry.util.types import AttributeValue

from genai_observability import signals
from genai_observability._calls.open_calls import OpenCall, OpenCalls
from genai_observability._calls.outcome import ABANDONED
from genai_observability._calls.pipeline import Finished
from genai_observability._calls.spans import attributes_of, carries_content, is_model_call, with_attributes
from genai_observability._chains.steps import OpenStep, OpenSteps, is_step
from genai_observability._content.watch import without_content
from genai_observability._context import attribution as _attribution

_MOST_FINISHED: Final = 10_000
"""Calls that may wait to be recorded: some 60 MB at the most."""
_AT_ONCE: Final = 16
"""Calls recorded together: a third cheaper than one by one. About 1 ms of work, for which another call may wait."""


class GenAISpanProcessor(SpanProcessor):
    """Gives every span its attribution, and finished model calls to ``on_calls``, off the caller's thread.

    Args:
        open_calls: Where the calls are kept that have begun and not ended.
        open_steps: Likewise the steps of chains.
        submit: Queues a task for later and says whether there was room.
        on_end: Told of a call's span that has ended, and of what was noted of the call, on the caller's thread.
        on_calls: Records finished calls.
        on_step: Records a finished step of a chain, and returns the span to export.
        on_content: The attributes to export of a span that is no model call but carries content, such as a tool's.
        on_dropped: Called where there was no room: the call is exported as it is, but not recorded.
        exporter: The processor that finished spans go to next. ``None`` where the application's own provider has its
            own processors: it keeps its spans as they are.
    """

    def __init__(
        self,
        *,
        open_calls: OpenCalls,
        open_steps: OpenSteps,
        submit: Callable[[Callable[[], object]], bool],
        on_end: Callable[[ReadableSpan, OpenCall | None], None],
        on_calls: Callable[[Sequence[Finished]], None],
        on_step: Callable[[ReadableSpan, OpenStep], ReadableSpan],
        on_content: Callable[[ReadableSpan], Mapping[str, AttributeValue]],
        on_dropped: Callable[[], None],
        exporter: SpanProcessor | None,
    ) -> None:
        self._open_calls = open_calls
        self._open_steps = open_steps
        self._submit = submit
        self._on_end = on_end
        self._on_calls = on_calls
        self._on_step = on_step
        self._on_content = on_content
        self._on_dropped = on_dropped
        self._exporter = exporter
        self._finished: deque[Finished] = deque()
        self.active = True

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Set the attribution in force where the span starts.

        That of a model call is only noted, as it is copied anyway before it is exported.
        """
        if not self.active:
            return
        attribution = _attribution.current()
        is_call = is_model_call(span)
        self._open_steps.begin(span, parent_context, is_call=is_call)
        if is_call:
            self._open_calls.begin(span, attribution)
            if self._exporter is not None:
                return
        if attribution:
            span.set_attributes(attribution)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a finished model call, step of a chain, or span with content; hand on every other span at once."""
        step = self._open_steps.end(span)
        if is_model_call(span):
            call = self._open_calls.end(span)
            if not self.active and call is None:
                return  # recorded by abandon_streams()
            if self.active:
                self._on_end(span, call)
                if len(self._finished) < _MOST_FINISHED:
                    self._finished.append(Finished(span, call, step))
                    self._submit(self.record_calls)  # refused, another one of the tasks that wait will record it
                    return
                self._on_dropped()
        elif self.active and step is not None and is_step(span):
            if self._submit(lambda: self._record_step(span, step)):
                return
            self._on_dropped()
        if self._exporter is None or not carries_content(span):
            self._export(span)
        elif not self._submit(lambda: self._export(with_attributes(span, self._on_content(span)))):
            self._export(_bare(span))

    def record_calls(self) -> bool:
        """Record the calls that wait the longest; ``False`` for none: each is announced, and some go together."""
        batch: list[Finished] = []
        while self._finished and len(batch) < _AT_ONCE:
            batch.append(self._finished.popleft())
        if batch:
            self._record(batch)
        return bool(batch)

    def abandon_streams(self) -> None:
        """Stop recording; the streams that are still open are recorded as they are, whatever will be read of them."""
        self.active = False
        ended = [call for call in self._open_calls.streams() if self._open_calls.end(call.span) is not None]
        self._record([Finished(_abandoned(call.span), call, self._open_steps.end(call.span)) for call in ended])

    def forget(self) -> None:
        """In a child made by fork: the calls that wait are the parent's."""
        self._finished.clear()

    def _record(self, batch: Sequence[Finished]) -> None:
        try:
            self._on_calls(batch)
        finally:
            for each in batch:
                self._export(each.exported or _bare(each.span))

    def _record_step(self, span: ReadableSpan, step: OpenStep) -> None:
        finished = _bare(span)
        try:
            finished = self._on_step(span, step)
        finally:
            self._export(finished)

    def _export(self, span: ReadableSpan) -> None:
        if self._exporter is not None:
            self._exporter.on_end(span)

    def shutdown(self) -> None:
        """Record nothing more; end the exporter."""
        self.active = False
        if self._exporter is not None:
            self._exporter.shutdown()

    @property
    def exports(self) -> bool:
        """Whether finished spans go through here to their exporter."""
        return self._exporter is not None

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Export what was handed on so far; for queued calls too, use the handle's ``force_flush``."""
        return self._exporter is None or self._exporter.force_flush(timeout_millis)


def _bare(span: ReadableSpan) -> ReadableSpan:
    """A span without what it may carry of content, where nothing else could be done with it."""
    return with_attributes(span, without_content(span.attributes or {}))


def _abandoned(span: ReadableSpan) -> ReadableSpan:
    """An open stream's span as its wrapper would end it now, had its reader walked away."""
    attributes = {**attributes_of(span), signals.STREAM.name: True, signals.ERROR_TYPE.name: "_OTHER"}
    return with_attributes(span, attributes, Status(StatusCode.ERROR, ABANDONED), time_ns())
