"""Sends calls to a Collector at an even rate: ``python -m stack.benchmarks.sender URL --rate 3000 --seconds 300``.

A process of its own, so that what it takes is not taken for the stack's. The requests are encoded before it says
``ready``; then it waits for a line, and from there on only ids, users and times are written into the bytes. At the end
it prints what it sent, as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import struct
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import httpx
from genai_observability import signals
from genai_observability.signals import Attribute
from opentelemetry.sdk._logs import ReadableLogRecord

from stack.benchmarks.calls import Company, People, request, services, share

BATCH: Final = 512
"""Records of a request: as many as OpenTelemetry's SDK sends at most."""
_REQUESTS: Final = 40
_DIGITS: Final = {
    signals.RECORD_ID: 16, signals.RESPONSE_ID: 28, signals.PROVIDER_REQUEST_ID: 32, signals.REQUEST: 16,
}  # fmt: skip
"""Texts that end in so many digits of chance, others for each call."""
_PERSON: Final = (signals.USER_HASH, signals.SESSION, signals.CONVERSATION, signals.TENANT, signals.USER_TIER)


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent, how long it took, and the CPU time that the sender took for it, in seconds."""

    records: int
    seconds: float
    cpu: float
    waited: float
    """How far behind its schedule it was at the worst: the Collector let it wait."""


class Request:
    """An encoded request, and where in it what differs from call to call is."""

    def __init__(self, records: list[ReadableLogRecord]) -> None:
        self.body = bytearray(request(records))
        self._calls: list[_Places] = []
        start = 0
        for readable in records:
            record, attributes = readable.log_record, readable.log_record.attributes or {}
            start = self.body.index(struct.pack("<Q", record.timestamp), start)

            def place(name: Attribute, start: int = start, attributes: Mapping[str, Any] = attributes) -> int:
                key = self.body.index(name.name.encode(), start)
                return self.body.index(str(attributes[name.name]).encode(), key + len(name.name))

            digits = [
                (place(name) + len(str(attributes[name.name])) - count, count)
                for name, count in _DIGITS.items()
                if name.name in attributes
            ]
            self._calls.append(
                _Places(
                    time=start,
                    uid=place(signals.RECORD_ID),
                    trace=self.body.index((record.trace_id or 0).to_bytes(16, "big"), start),
                    span=self.body.index((record.span_id or 0).to_bytes(8, "big"), start),
                    digits=digits,
                    person=[place(name) for name in _PERSON],
                )
            )

    def renew(self, people: People, *, now: int, every: float) -> None:
        """Makes other calls of it, ``every`` so many seconds; the last ended ``now``, in nanoseconds since 1970."""
        body, count = self.body, len(self._calls)
        step = int(every * 1e9)
        observed = struct.pack("<Q", now)
        for number, (call, person) in enumerate(zip(self._calls, people.some(count), strict=True)):
            at = now - step * (count - 1 - number)
            chance = os.urandom(46)
            body[call.time : call.time + 8] = at.to_bytes(8, "little")
            body[call.time + 9 : call.time + 17] = observed
            body[call.trace : call.trace + 16] = chance[:16]
            body[call.span : call.span + 8] = chance[16:24]
            body[call.uid : call.uid + 12] = b"%012x" % (at // 1_000_000)
            text, start = chance.hex().encode(), 0
            for place, length in call.digits:
                body[place : place + length] = text[start : start + length]
                start += length
            for place, value in zip(call.person, person, strict=True):
                body[place : place + len(value)] = value.encode()


class _Places(NamedTuple):
    """Where in a request's bytes things of one call are."""

    time: int
    uid: int
    trace: int
    span: int
    digits: list[tuple[int, int]]
    person: list[int]


def requests() -> tuple[list[Request], Company]:
    """Requests of every service, as many as it has its share of the calls."""
    company = Company()
    made = [
        Request(company.records(service, BATCH))
        for service in services()
        for _ in range(max(round(share(service) * _REQUESTS), 1))
    ]
    random.Random(1).shuffle(made)  # noqa: S311 -- not a secret
    return made, company


def send(url: str, made: list[Request], people: People, *, rate: float, seconds: float) -> Sent:
    """Sends so many calls a second for so long.

    Raises:
        httpx.HTTPError: the Collector does not take them.
    """
    turns = int(rate * seconds / BATCH)
    began, used, waited = time.monotonic(), time.process_time(), 0.0
    with httpx.Client(timeout=60) as client:
        for turn in range(turns):
            each = made[turn % len(made)]
            each.renew(people, now=time.time_ns(), every=1 / rate)
            client.post(
                f"{url}/v1/logs", content=bytes(each.body), headers={"content-type": "application/x-protobuf"}
            ).raise_for_status()
            left = began + (turn + 1) * BATCH / rate - time.monotonic()
            waited = max(waited, -left)
            time.sleep(max(left, 0))
    return Sent(turns * BATCH, time.monotonic() - began, time.process_time() - used, waited)


def main() -> int:
    """Encode, wait for a line, send, say what was sent."""
    parser = argparse.ArgumentParser(prog="python -m stack.benchmarks.sender")
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=3000)
    parser.add_argument("--seconds", type=float, default=300)
    options = parser.parse_args()
    made, company = requests()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if not sys.stdin.readline():
        return 1  # whoever started it has ended
    sent = send(options.url, made, company.people, rate=options.rate, seconds=options.seconds)
    sys.stdout.write(f"{json.dumps(asdict(sent))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
