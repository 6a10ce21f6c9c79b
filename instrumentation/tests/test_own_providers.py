"""With this package's own providers, as in most applications, each call is recorded as with the application's."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import genai_observability
import pytest
from genai_observability import signals

from instrumentation.tests.conversations import converse, seen
from instrumentation.tests.otlp_capture import Capture
from instrumentation.tests.programs import Run
from instrumentation.tests.recording import Recording
from instrumentation.tests.test_apis import CASES
from instrumentation.tests.wire import scripted

PROGRAM = """
import sys
import genai_observability
from instrumentation.tests.test_own_providers import all_cases

genai_observability.instrument(service_name="guide", logs=False)
all_cases(sys.argv[1])
"""
PASSING = ("server.port", "trace_id", "body", "severity", "log.record.uid")
"""What is another one each time, or is no attribute."""
EXACT = (signals.COST.name, signals.TEMPERATURE.name)
"""The numbers that are no times."""

Said = dict[str, dict[str, Any]]


def all_cases(provider: str) -> None:
    """Each conversation once, as a feature of its own name."""
    for name, case in CASES.items():
        with genai_observability.attributed_to(feature=name):
            if case.answers:
                with scripted(case.answers) as scripted_provider:
                    converse(case.talk, scripted_provider, asynchronous=False)
            else:
                converse(case.talk, provider, asynchronous=False)


def by_feature(each: Iterable[Mapping[str, Any]]) -> Said:
    """What is said of the one call of each feature, without times."""
    found: Said = {}
    for attributes in each:
        feature = str(attributes[signals.FEATURE.name])
        assert feature not in found
        found[feature] = {
            name: seen(value)
            for name, value in attributes.items()
            if name not in PASSING and (name in EXACT or not isinstance(value, float))
        }
    return found


def decoded(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [decoded(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)


def attributes_of(exported: Iterable[Any]) -> list[dict[str, Any]]:
    return [{item.key: decoded(item.value) for item in each.attributes} for each in exported]


@pytest.fixture
def with_own_providers(run: Run, capture: Capture, other_provider: str) -> Capture:
    done = run(
        sys.executable,
        "-W",
        "error",
        "app.py",
        other_provider,
        program=PROGRAM,
        PYTHONPATH=str(Path(__file__).parents[2]),
    )
    assert (done.returncode, done.stderr) == (0, "")
    return capture


def test_each_call_is_recorded_and_exported_as_with_the_applications_providers(
    with_own_providers: Capture, other_provider: str
) -> None:
    recording = Recording()
    try:
        all_cases(other_provider)
        records = by_feature(recording.records)
        spans = by_feature(dict(span.attributes or {}) for span in recording.spans)
    finally:
        recording.close()
    assert set(records) == set(spans) == set(CASES)
    assert by_feature(attributes_of(with_own_providers.records)) == records
    exported = by_feature(attributes_of(with_own_providers.spans))
    assert {  # which have the derived ones besides, as what is exported by the application itself cannot
        feature: {name: value for name, value in said.items() if name in spans[feature]}
        for feature, said in exported.items()
    } == spans
    assert {feature: said.get(signals.COST.name) for feature, said in exported.items()} == {
        feature: said.get(signals.COST.name) for feature, said in records.items()
    }
