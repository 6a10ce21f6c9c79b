"""Writes the payloads of docs/data-flow.md, from one real call: ``python -m tests.end_to_end.data_flow``.

The page's own program runs against the simulated provider and a real stack; relays keep what it sends and is answered.
Ids, times and the measured duration differ from run to run: each is replaced, wherever it appears, by a fixed one. So
the page is the same every time, and an id that got lost or changed on the way would show.
"""

import base64
import gzip
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
from genai_observability.signals import CALL_COST, CALL_DURATION
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from stack.files import write_whole
from stack.native.process import StackError
from stack.settings import Settings
from tests.end_to_end.live import ROOT, eventually, without_otel
from tests.end_to_end.relay import Exchange, Relay
from tests.provider import running_provider
from tests.stores import running
from tests.usage import rows

PAGE: Final = ROOT / "docs" / "data-flow.md"
SERVICE: Final = "helpdesk"
COUNT: Final = f'increase({CALL_DURATION.series("count")}{{job="{SERVICE}"}}[5m] anchored)'
COST: Final = f'{CALL_COST.series()}{{job="{SERVICE}"}}'
LINES: Final = f'service.name:={SERVICE} event.name:="genai_observability.call"'

_SECOND: Final = 1767268800  # 2026-01-01T12:00:00Z
_DURATION: Final = 0.42
_PHASES: Final = {"preparing": 0.004, "network": 0.003, "provider": 0.408, "reading": 0.005}
_WIDTH: Final = 118


class Flow:
    """What one call left behind at every station; each payload as plain data."""

    def __init__(self, stack: Settings) -> None:
        """Make the call and ask the stores for it."""
        calls, exports = _run(stack)
        (call,) = calls
        self.request: Any = json.loads(call.request)
        self.answer: Any = json.loads(call.answer)
        self.traces = _decoded(exports, "/v1/traces", ExportTraceServiceRequest)[0]["resourceSpans"]
        self.metrics = _decoded(exports, "/v1/metrics", ExportMetricsServiceRequest)
        self.logs = _decoded(exports, "/v1/logs", ExportLogsServiceRequest)[0]["resourceLogs"]
        self.asked = int(time.time()) + 1
        window = {"start": self.asked - 600, "end": self.asked + 60}
        prometheus = f"{stack.prometheus_url}/api/v1"
        self.count = eventually(lambda: _results(f"{prometheus}/query", query=COUNT, time=self.asked))
        self.exemplars = _get(f"{prometheus}/query_exemplars", query=COST, **window)["data"]
        self.lines = eventually(lambda: _lines(f"{stack.victorialogs_url}/select/logsql/query", query=LINES, **window))
        of_trace = "SELECT * FROM calls WHERE trace_id = $1"
        self.rows = eventually(lambda: rows(stack, of_trace, self.span["traceId"]))
        address = f"{stack.jaeger_url}/api/v3/traces/{self.span['traceId']}"
        self.trace = eventually(lambda: _get(address).get("result"))["resourceSpans"]

    @property
    def resource(self) -> Any:
        """What says who sends."""
        return self.traces[0]["resource"]

    @property
    def span(self) -> Any:
        """The span as it was sent."""
        (span,) = self.traces[0]["scopeSpans"][0]["spans"]
        return span

    @property
    def stored(self) -> Any:
        """The span as Jaeger answers it."""
        (span,) = self.trace[0]["scopeSpans"][0]["spans"]
        return span

    @property
    def record(self) -> Any:
        """The record of the request log as it was sent."""
        (record,) = self.logs[0]["scopeLogs"][0]["logRecords"]
        return record

    @property
    def costs(self) -> Any:
        """The metric of the cost as it was first sent: its exemplar is sent once."""
        groups = [group for export in self.metrics for group in export.get("resourceMetrics", ())]
        sent = [metric for group in groups for scope in group["scopeMetrics"] for metric in scope["metrics"]]
        return next(metric for metric in sent if metric["name"] == "genai_observability.cost.usd")

    def payloads(self) -> dict[str, str]:
        """The sections of the page by name."""
        resource = [item for item in self.resource["attributes"] if not item["key"].startswith("telemetry.")]
        (line,) = self.lines
        shown = {name: value for name, value in line.items() if not name.startswith("telemetry.")}
        usage = [item for item in self.stored["attributes"] if item["key"].startswith("gen_ai.usage.")]
        sections = {
            "request": self.request,
            "answer": self.answer,
            "resource": {"attributes": resource},
            "span": self.span,
            "metric": self.costs,
            "record": self.record,
            "prometheus-count": self.count,
            "prometheus-exemplars": self.exemplars,
            "victorialogs": shown,
            "warehouse": {name: _plain(value) for name, value in self.rows[0].items() if value is not None},
            "jaeger": {**self.stored, "attributes": usage},
        }
        fixed = self._fixed()
        pattern = re.compile("|".join(re.escape(text) for text in sorted(fixed, key=len, reverse=True)))
        return {name: pattern.sub(lambda found: fixed[found[0]], pretty(payload)) for name, payload in sections.items()}

    def _fixed(self) -> dict[str, str]:
        """What stands for each value that differs from run to run."""
        values, point = attributes(self.span), self.costs["sum"]["dataPoints"][0]
        record = attributes(self.record)
        duration, age = record["genai_observability.duration"], record["genai_observability.price.age"]
        exemplar = point["exemplars"][0]["timeUnixNano"]
        return {
            self.span["traceId"]: "4f2a9c1e7b3d5f60812a4c6e8f0b1d3e",
            self.span["spanId"]: "a1b2c3d4e5f60718",
            self.answer["id"]: "chatcmpl-7d1f0c2b9e8a4635",
            str(self.answer["created"]): str(_SECOND),
            attributes(self.resource)["service.instance.id"]: "web-1:0",
            f'"{values["server.port"]}"': '"8010"',
            self.span["startTimeUnixNano"]: _nanoseconds(0),
            self.span["endTimeUnixNano"]: _nanoseconds(_DURATION),
            self.record["timeUnixNano"]: _nanoseconds(_DURATION),
            record["log.record.uid"]: "019b79a63c4470008000000000000001",
            str(self.rows[0]["id"]): "019b79a6-3c44-7000-8000-000000000001",
            self.rows[0]["started_at"].isoformat(): "2026-01-01T12:00:00+00:00",
            self.rows[0]["ended_at"].isoformat(): f"2026-01-01T12:00:00.{str(_DURATION).partition('.')[2]}0000+00:00",
            # The number of days since prices were checked.
            f'price.age", "value": {{"intValue": "{age}"}}': 'price.age", "value": {"intValue": "28"}',
            f'price.age": "{age}"': 'price.age": "28"',
            f'"price_age_days": {age}': '"price_age_days": 28',
            self.record["observedTimeUnixNano"]: _nanoseconds(0.422),
            exemplar: _nanoseconds(0.421),
            f"{int(exemplar) // 1_000_000 / 1000}": f"{_SECOND + 0.421}",
            point["startTimeUnixNano"]: _nanoseconds(0.421),
            point["timeUnixNano"]: _nanoseconds(0.45),
            self.lines[0]["_time"]: f"2026-01-01T12:00:00.{str(_DURATION).partition('.')[2]}Z",
            str(self.asked): str(_SECOND + 10),
            str(duration): str(_DURATION),
            str(values["genai_observability.output_tokens_per_second"]): str(rate(values)),
            f", {duration:.2f} s, ": f", {_DURATION} s, ",
            values["genai_observability.provider_request_id"]: "req_0b1c2d3e4f5a6b7c",
            **{str(values[f"genai_observability.seconds.{phase}"]): str(fixed) for phase, fixed in _PHASES.items()},
        }


def _plain(value: Any) -> Any:
    """A value of a row as JSON has it; money keeps its digits."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | UUID) else value


def rate(values: Mapping[str, Any]) -> float:
    """The speed that the tokens and the fixed duration give."""
    return round(int(values["gen_ai.usage.output_tokens"]) / _DURATION, 3)


def attributes(holder: Any) -> dict[str, Any]:
    """The attributes of a span, a record or a resource in OTLP's JSON, as a dictionary; a list is JSON text."""
    found = {}
    for item in holder["attributes"]:
        ((kind, value),) = item["value"].items()
        if kind == "arrayValue":
            value = json.dumps([each["stringValue"] for each in value["values"]])
        found[item["key"]] = value
    return found


def pretty(value: Any, indent: str = "", *, taken: int = 0) -> str:
    """JSON in which everything that fits into a line is one; ``taken`` characters of the first line are in use."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + taken + len(line) <= _WIDTH or not isinstance(value, (dict, list)):
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {pretty(item, inner, taken=len(key) + 4)}" for key, item in value.items()]
        opening, closing = "{", "}"
    else:
        items = [pretty(item, inner) for item in value]
        opening, closing = "[", "]"
    return opening + ",".join(f"\n{inner}{item}" for item in items) + f"\n{indent}{closing}"


def page(text: str, payloads: Mapping[str, str]) -> str:
    """The page with these payloads in its marked sections.

    Raises:
        ValueError: the page has other sections.
    """
    pattern = re.compile(r"(<!-- payload: ([\w-]+) -->\n```json\n).*?(\n```\n)", re.DOTALL)
    found = [name for _, name, _ in pattern.findall(text)]
    if found != list(payloads):
        raise ValueError(f"The page has the sections {found}, and not {list(payloads)}.")
    return pattern.sub(lambda section: section[1] + payloads[section[2]] + section[3], text)


def _run(stack: Settings) -> tuple[list[Exchange], list[Exchange]]:
    """Runs the page's program; what it sent to the provider and to the Collector."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    with running_provider(latency=1.0) as provider, Relay(provider) as calls, Relay(stack.otlp_http_url) as exports:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            env=without_otel(
                OPENAI_BASE_URL=f"{calls.url}/v1",
                OPENAI_API_KEY="test",
                OTEL_EXPORTER_OTLP_ENDPOINT=exports.url,
                GENAI_OBSERVABILITY_USER_KEY="key",
            ),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if (done.returncode, done.stderr) != (0, ""):
        raise RuntimeError(f"The program of {PAGE.name} failed: {done.stderr}")
    return calls.exchanges, exports.exchanges


def _decoded(exports: list[Exchange], path: str, kind: Any) -> Any:
    """What was sent to a path, as OTLP's JSON has it: unlike other JSON of protobuf, ids are hexadecimal."""
    bodies = [exchange.request for exchange in exports if exchange.path == path]
    plain = [gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body for body in bodies]
    return [_hexadecimal(MessageToDict(kind.FromString(body), use_integers_for_enums=True)) for body in plain]


def _hexadecimal(value: Any) -> Any:
    if isinstance(value, list):
        return [_hexadecimal(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64decode(item).hex() if key in ("traceId", "spanId") else _hexadecimal(item)
        for key, item in value.items()
    }


def _results(url: str, **parameters: str | int) -> Any:
    return _get(url, **parameters)["data"]["result"]


def _lines(url: str, **parameters: str | int) -> Any:
    return [json.loads(line) for line in httpx.get(url, params=parameters, trust_env=False).text.splitlines()]


def _get(url: str, **parameters: str | int) -> Any:
    return httpx.get(url, params=parameters, trust_env=False).json()


def _nanoseconds(after: float) -> str:
    return str(_SECOND * 1_000_000_000 + round(after * 1000) * 1_000_000)


def main() -> int:
    """Write the page; 1 where the servers are not built."""
    try:
        with tempfile.TemporaryDirectory() as state, running(Path(state)) as stack:
            write_whole(PAGE, page(PAGE.read_text(encoding="utf-8"), Flow(stack).payloads()))
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
