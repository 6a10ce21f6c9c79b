"""``genai-observability doctor``: what would be recorded here, and what stands in the way."""

import os
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from genai_observability import _exporters
from genai_observability._clients import CLIENTS, is_installed

_PATIENCE: Final = 5.0  # seconds for an answer of the Collector


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: a subject, what was found, and whether it is as it should be."""

    subject: str
    found: str
    right: bool = True


def doctor() -> int:
    """Print the findings as a table; 1 where one of them is wrong."""
    findings = [_switch(), *_clients(), _service(), *map(_endpoint, ("TRACES", "METRICS", "LOGS"))]
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        sys.stdout.write(f"{'ok   ' if finding.right else 'WRONG'}  {finding.subject:{width}}  {finding.found}\n")
    return 0 if all(finding.right for finding in findings) else 1


def _switch() -> Finding:
    disabled = _exporters.sdk_disabled()
    found = "off: OTEL_SDK_DISABLED=true; unset it" if disabled else f"on, for programs of {sys.executable}"
    return Finding("recording", found, right=not disabled)


def _clients() -> list[Finding]:
    findings = []
    for client in CLIENTS:
        if not is_installed(client.library):
            found, right = "not installed in this Python: no call of it can be recorded", False
        elif client.wrapper is None:
            found, right = f"its wrapper is missing: {client.missing}", False
        else:
            found, right = f"{_version(client.library)}, its calls are recorded", True
        findings.append(Finding(client.library, found, right))
    return findings


def _service() -> Finding:
    name = os.environ.get("OTEL_SERVICE_NAME", "").strip()
    return Finding("service", name or "named as the program is (OTEL_SERVICE_NAME is not set)")


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
    request = urllib.request.Request(  # noqa: S310 - http or https, as was checked
        url, data=b"", headers={"content-type": "application/x-protobuf"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE):  # noqa: S310
            return Finding(subject, f"{url} answers")
    except urllib.error.HTTPError as error:
        hint = (
            "; it may ask for OTEL_EXPORTER_OTLP_HEADERS, which are not tried here" if error.code in (401, 403) else ""
        )
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
