"""The alerts of Loki's ruler as the series that Prometheus has of its own, in Prometheus' text format.

Escalations and dashboards read ``ALERTS`` and ``ALERTS_FOR_STATE`` of Prometheus, which has them only of the rules that
it evaluates itself. Here a scrape asks the ruler. Its ``ruler.remote_write`` would write the same series, but those of
rules that are evaluated every 5 minutes have gaps in Prometheus, those of a Loki that dies go on for as long, and they
have the hashes of users as labels.
"""

import re
import time
from collections.abc import Iterable, Sequence
from typing import Final

import httpx
from genai_observability.signals import METADATA_PREFIX, attributes

from stack.clients import Alert, Loki, StoreError
from stack.inbox.metrics import family

_TIMEOUT_S: Final = 2.0
"""A scrape takes 5 s at most."""

_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_UNBOUNDED: Final = {each.label for each in attributes() if not each.bounded} | {"trace_id", "span_id"}
"""Users, traces and the like, which are labels of no metric."""
_METADATA: Final = METADATA_PREFIX.replace(".", "_")
_OF_ANOTHER: Final = {"job": "", "instance": ""}
"""Empty, with `honor_labels` they keep Prometheus from adding those of the inbox."""


class LogAlerts:
    """The alerts of the ruler of the Loki at ``url``.

    ``trusted`` is how many seconds the last answer stands in for those that fail: else one of these, as while Loki is
    busy, would start all escalations anew.
    """

    def __init__(self, url: str, *, trusted: float = 60) -> None:
        self._trusted = trusted
        self._loki = Loki(url, timeout=_TIMEOUT_S)
        self._found: Sequence[Alert] = ()
        self._heard = float("-inf")

    def exposition(self) -> str:
        """Both metrics; empty where Loki has not been heard of for a while."""
        try:
            self._found = self._loki.alerts()
            self._heard = time.monotonic()
        except (StoreError, httpx.InvalidURL, LookupError, TypeError, ValueError):  # or something else answers
            if time.monotonic() - self._heard > self._trusted:
                self._found = ()
        return as_series(self._found)


def as_series(alerts: Iterable[Alert]) -> str:
    """Both metrics of these alerts. Those that differ by users alone are one: the one that has fired for longest."""
    merged: dict[str, Alert] = {}
    for alert in sorted(alerts, key=lambda each: (each.state != "firing", each.since)):
        merged.setdefault(_labels(_bounded(alert)), alert)
    states = ((_labels({**_bounded(alert), "alertstate": alert.state}), 1.0) for alert in merged.values())
    begins = ((labels, alert.since.timestamp()) for labels, alert in merged.items())
    return family("ALERTS", "gauge", "Alerts of Loki's rules, as Prometheus has them of its own.", *states) + family(
        "ALERTS_FOR_STATE", "gauge", "When each became pending or firing, in seconds since 1970.", *begins
    )


def _bounded(alert: Alert) -> dict[str, str]:
    return {
        name: value
        for name, value in alert.labels.items()
        if _LABEL.fullmatch(name) and name not in _UNBOUNDED and not name.startswith(("__", _METADATA))
    }


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted((_OF_ANOTHER | labels).items())) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
