"""``genai-observability doctor``: what would be recorded here, and what stands in the way."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from opentelemetry.util.re import parse_env_headers

from genai_observability._capture.clients import CLIENTS, is_installed
from genai_observability._capture.private_names import missing
from genai_observability._commands.check import Finding, check
from genai_observability._content.settings import VARIABLE, chosen
from genai_observability._export import exporters as _exporters

_PATIENCE: Final = 5.0  # seconds for an answer of the Collector


def doctor(stores: Mapping[str, Sequence[str]] | None = None, within: float = 0.0) -> int:
    """Print the findings as a table; 1 where one of them is wrong. With ``stores``, a call is sent through to them."""
    right = True
    for finding in _findings(stores, within):
        finding.show()
        right = right and finding.right
    return 0 if right else 1


def _findings(stores: Mapping[str, Sequence[str]] | None, within: float) -> Iterator[Finding]:
    here = [_switch(), *_clients(), _service(), _content(), *map(_endpoint, ("TRACES", "METRICS", "LOGS"))]
    yield from here
    if stores is None:
        return
    if all(finding.right for finding in here):
        yield from check(stores, within)
    else:
        yield Finding("test call", "not sent: right what is WRONG above first", right=False)


def _switch() -> Finding:
    disabled = _exporters.sdk_disabled()
    found = "off: OTEL_SDK_DISABLED=true; unset it" if disabled else f"on, for programs of {sys.executable}"
    return Finding("recording", found, right=not disabled)


def _clients() -> list[Finding]:
    findings = []
    for client in CLIENTS:
        if not is_installed(client.library):
            found, right = "not installed in this Python: no call of it can be recorded", False
        elif lost := dict.fromkeys(name.lost for name in missing()):
            found, right = f"{_version(client.library)}: not recorded: {'; '.join(lost)}", False
        else:
            found, right = f"{_version(client.library)}, its calls are recorded", True
        findings.append(Finding(client.library, found, right))
    return findings


def _service() -> Finding:
    name = os.environ.get("OTEL_SERVICE_NAME", "").strip()
    return Finding("service", name or "named as the program is (OTEL_SERVICE_NAME is not set)")


def _content() -> Finding:
    asked = chosen(None, detect_threats=None)
    if asked.problem:
        return Finding("content", f"not recorded: {asked.problem}", right=False)
    if asked.form and _exporters.chosen_exporter("TRACES") == "none":
        return Finding("content", "not recorded: it is part of the spans, and OTEL_TRACES_EXPORTER=none", right=False)
    found = f"recorded, redacted: {asked.form}" if asked.form else f"not recorded ({VARIABLE} is off)"
    return Finding("content", f"{found}; threats are {'' if asked.detect_threats else 'not '}looked for")


def _endpoint(signal: str) -> Finding:
    """An empty request, which an OTLP receiver accepts and stores nothing of."""
    subject = f"Collector, {signal.lower()}"
    chosen = _exporters.chosen_exporter(signal)
    if chosen in ("none", "console"):
        return Finding(subject, f"not sent: OTEL_{signal}_EXPORTER={chosen}")
    if _exporters.variable("OTEL_EXPORTER_OTLP_PROTOCOL", signal) == "grpc":
        return Finding(subject, "not asked: OTEL_EXPORTER_OTLP_PROTOCOL=grpc")
    if problem := _exporters.endpoint_problem(signal):
        return Finding(subject, problem, right=False)
    specific = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "").strip()
    base = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip() or "http://localhost:4318"
    url = specific or f"{base.rstrip('/')}/v1/{signal.lower()}"
    headers = parse_env_headers(_exporters.variable("OTEL_EXPORTER_OTLP_HEADERS", signal), liberal=True)
    request = urllib.request.Request(  # noqa: S310 - http or https, as was checked
        url, data=b"", headers={**headers, "content-type": "application/x-protobuf"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE):  # noqa: S310
            return Finding(subject, f"{url} answers")
    except urllib.error.HTTPError as error:
        hint = ": set OTEL_EXPORTER_OTLP_HEADERS as it asks for" if error.code in (401, 403) else ""
        error.close()
        return Finding(subject, f"{url} refuses it with HTTP {error.code}{hint}", right=False)
    except OSError as error:
        reason = getattr(error, "reason", error)
        return Finding(
            subject, f"{url} does not answer: {reason}; start it, or set OTEL_EXPORTER_OTLP_ENDPOINT", right=False
        )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "installed"
