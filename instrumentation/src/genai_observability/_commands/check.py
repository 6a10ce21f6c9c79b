"""``genai-observability doctor --check``: one call goes through the Collector to the stores, and is read back there."""

import json
import logging
import os
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final

from opentelemetry import trace

from genai_observability import signals
from genai_observability._context.attribution import attributed_to
from genai_observability._export import exporters as _exporters
from genai_observability._instrument import instrument

_WIDTH: Final = len("Collector, metrics")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: a subject, what was found, and whether it is as it should be."""

    subject: str
    found: str
    right: bool = True

    def show(self) -> None:
        """Print the line at once: the next one may take a while."""
        sys.stdout.write(f"{'ok   ' if self.right else 'WRONG'}  {self.subject:{_WIDTH}}  {self.found}\n")
        sys.stdout.flush()


SERVICE: Final = "genai-observability-doctor"
_FEATURE: Final = "doctor"
_MODEL: Final = "gpt-4o-mini"
"""A model that has a price, as one without is counted and alerted. The call has no tokens, and so costs nothing."""
_FLUSH: Final = 10.0  # seconds
_ANSWER: Final = 5.0  # seconds for an answer of a store
_PAUSE: Final = 0.3  # seconds between two questions

_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open  # the stores are not behind a proxy


@dataclass(slots=True)
class _Sent:
    """The call, as the stores know it."""

    instance: str
    at: float = field(default_factory=time.time)
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class _Store:
    """A store that should have the call."""

    name: str
    signal: str
    option: str
    urls: Sequence[str]
    questions: Mapping[str, Callable[[str], bool]]
    """What to ask at each address, as it is not known which server is there, and whether the answer has the call."""


def check(stores: Mapping[str, Sequence[str]], within: float) -> Iterator[Finding]:
    """Make the call and find it again; one finding for the call and one for each store, as they come.

    ``stores`` has the addresses at which to look, for ``within`` seconds.
    """
    complaints = _Complaints()
    sent = _send()
    if not sent.trace_id:
        reason = "a warning above says why, or else OTEL_TRACES_SAMPLER leaves it out"
        yield Finding("test call", f"not recorded: {reason}", right=False)
        return
    if complaints.messages:
        yield Finding("test call", f"the Collector did not take it: {complaints.messages[0]}", right=False)
        return
    yield Finding("test call", f"sent, as service {SERVICE}, without tokens or cost")
    waiting = []
    for store in _stores(sent, stores):
        if (exporter := _exporters.chosen_exporter(store.signal)) in ("none", "console"):
            yield Finding(store.name, f"not asked: OTEL_{store.signal}_EXPORTER={exporter}")
        else:
            waiting.append(store)
    began = time.monotonic()
    while waiting:
        passed = time.monotonic() - began
        for store in list(waiting):
            if finding := _look(store, passed, last=passed >= within):
                waiting.remove(store)
                yield finding
        time.sleep(_PAUSE)


def _look(store: _Store, passed: float, *, last: bool) -> Finding | None:
    """Whether the store has the call; ``None`` where it may still come."""
    answered, absent = [], []
    for url in store.urls:
        try:
            said = [_ask(store, url + question, has_it) for question, has_it in store.questions.items()]
        except OSError as error:
            absent.append(f"{url} ({getattr(error, 'reason', error)})")
            continue
        if True in said:
            return Finding(store.name, f"{url} has it, {passed:.0f} s after it was sent")
        answered.append(url if False in said else f"{url} ({said[0]})")
    if not answered:
        found = f"no answer from {' or '.join(absent)}: start it, or say where it is with {store.option}"
    elif last:
        found = (
            f"nothing of it at {' and '.join(answered)} after {passed:.0f} s, although the Collector took it: "
            f"its log says what became of it, unless it writes to another store: {store.option}"
        )
    else:
        return None
    return Finding(store.name, found, right=False)


def _ask(store: _Store, address: str, has_it: Callable[[str], bool]) -> bool | str:
    """Whether the store has the call, or why what answers cannot say."""
    try:
        request = urllib.request.Request(address, headers={"accept": "application/json"})  # noqa: S310
        with _open(request, timeout=_ANSWER) as answer:
            return has_it(answer.read().decode())
    except urllib.error.HTTPError as error:
        error.close()
        unknown_trace = error.code == HTTPStatus.NOT_FOUND and store.signal == "TRACES"
        return False if unknown_trace else f"HTTP {error.code}"
    except (ValueError, TypeError, LookupError, HTTPException):
        return "no such store"


def _stores(sent: _Sent, urls: Mapping[str, Sequence[str]]) -> list[_Store]:
    names = signals.vocabularies(os.environ.get(signals.OPT_IN_VARIABLE, ""))
    counted = "|".join(place.series for place in signals.places(signals.CALL_DURATION, "count", names[-1]))
    series = (
        f'{{__name__=~"{counted}",instance={json.dumps(sent.instance)},{signals.FEATURE.label}={json.dumps(_FEATURE)}}}'
    )
    metrics = urllib.parse.urlencode({"query": f"timestamp({series}) >= {sent.at:.3f}"})
    logql = f'{{service_name="{SERVICE}"}} | trace_id="{sent.trace_id}"'
    of_loki = urllib.parse.urlencode({"query": logql, "limit": 1})
    logsql = f'"service.name":={SERVICE} trace_id:={sent.trace_id} | limit 1 | fields trace_id'
    of_victorialogs = urllib.parse.urlencode({"query": logsql})
    logs: dict[str, Callable[[str], bool]] = {
        f"/select/logsql/query?{of_victorialogs}": _has_lines,
        f"/loki/api/v1/query_range?{of_loki}": _has_results,
    }
    # Jaeger and Tempo have this address in common.
    traces: dict[str, Callable[[str], bool]] = {f"/api/traces/{sent.trace_id}": _names_the_service}
    return [
        _Store("Prometheus", "METRICS", "--prometheus", urls["prometheus"], {f"/api/v1/query?{metrics}": _has_results}),
        _Store("logs", "LOGS", "--logs", urls["logs"], logs),
        _Store("warehouse", "LOGS", "--warehouse", urls["warehouse"], {f"/calls/{sent.trace_id}": _counts}),
        _Store("traces", "TRACES", "--traces", urls["traces"], traces),
    ]


def _has_results(answer: str) -> bool:
    return bool(json.loads(answer)["data"]["result"])


def _counts(answer: str) -> bool:
    return bool(json.loads(answer)["calls"])


def _has_lines(answer: str) -> bool:
    """Of none, VictoriaLogs says nothing."""
    return bool([json.loads(line)["trace_id"] for line in answer.splitlines()])


def _names_the_service(answer: str) -> bool:
    return SERVICE in json.dumps(json.loads(answer))


def _send() -> _Sent:
    """One call of the real client, to a provider in this process."""
    import openai  # an extra of this package

    os.environ["OTEL_SERVICE_NAME"] = SERVICE
    handle = instrument(logs=False)
    if not handle.recording:
        return _Sent("")
    tracers: Any = trace.get_tracer_provider()
    sent = _Sent(str(tracers.resource.attributes["service.instance.id"]))
    with (
        trace.get_tracer(SERVICE).start_as_current_span("doctor") as span,
        attributed_to(feature=_FEATURE),
        HTTPServer(("127.0.0.1", 0), _Provider) as provider,
        openai.DefaultHttpxClient(trust_env=False) as http,  # no proxy
        openai.OpenAI(
            base_url=f"http://127.0.0.1:{provider.server_port}/v1", api_key="none", max_retries=0, http_client=http
        ) as client,
    ):
        threading.Thread(target=provider.handle_request, daemon=True).start()
        client.chat.completions.create(model=_MODEL, messages=[{"role": "user", "content": "Does this arrive?"}])
    handle.force_flush(_FLUSH)
    if (context := span.get_span_context()).trace_flags.sampled:
        sent.trace_id = trace.format_trace_id(context.trace_id)
    return sent


class _Complaints(logging.Handler):
    """Keeps what exporters complain of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        logger = logging.getLogger("opentelemetry")
        logger.addHandler(self)
        logger.propagate = False  # it is said in the report

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


class _Provider(BaseHTTPRequestHandler):
    """Gives one answer, without tokens."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(_COMPLETION).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


_COMPLETION: Final = {
    "id": "doctor",
    "object": "chat.completion",
    "created": 0,
    "model": _MODEL,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "It does."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
}
