"""Grafana's helper: it patches nothing, the application makes its calls through it."""

from typing import Any

from agento11y import Client, ClientConfig, ContentCaptureMode
from agento11y.models import (
    ExportGenerationResult,
    ExportGenerationsRequest,
    ExportGenerationsResponse,
    ExportWorkflowStepsRequest,
    ExportWorkflowStepsResponse,
)
from agento11y_openai import ChatCompletionsStreamSummary, chat

from instrumentation.benchmarks.dropping import Dropped, Providers
from instrumentation.benchmarks.provider import PLAIN, STREAMED
from instrumentation.benchmarks.setups import Started


class _DropGenerations:
    """Takes the records that it sends beside the spans; they count as log records here."""

    def __init__(self, dropped: Dropped) -> None:
        self._dropped = dropped

    def export_generations(self, request: ExportGenerationsRequest) -> ExportGenerationsResponse:
        self._dropped.logs += len(request.generations)
        self._dropped.examine(lambda: repr(request))
        accepted = [ExportGenerationResult(generation.id, accepted=True) for generation in request.generations]
        return ExportGenerationsResponse(results=accepted)

    def export_workflow_steps(self, _request: ExportWorkflowStepsRequest) -> ExportWorkflowStepsResponse:
        return ExportWorkflowStepsResponse(results=[])

    def shutdown(self) -> None: ...


def start(marker: str) -> tuple[Started, Dropped]:
    """Start its client for metadata only."""
    dropped = Dropped(marker)
    providers = Providers(dropped)
    recorder = Client(
        ClientConfig(
            tracer_provider=providers.tracer,
            meter_provider=providers.meter,
            generation_exporter=_DropGenerations(dropped),
            content_capture=ContentCaptureMode.METADATA_ONLY,
        )
    )

    def plain(client: Any) -> None:
        chat.completions.create(recorder, PLAIN, lambda request: client.chat.completions.create(**request))

    def streamed(client: Any) -> None:
        chat.completions.stream(
            recorder,
            STREAMED,
            lambda request: ChatCompletionsStreamSummary(events=list(client.chat.completions.create(**request))),
        )

    def flush() -> None:
        recorder.flush()
        providers.flush()

    return Started(flush=flush, plain=plain, streamed=streamed), dropped
