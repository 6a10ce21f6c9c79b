"""docs/data-flow.md shows what really flows, and what it says of it is true."""

import json
from datetime import UTC, datetime

import pytest

from stack.settings import Settings
from tests.end_to_end.data_flow import PAGE, Flow, attributes, page


@pytest.fixture(scope="module")
def flow(stack: Settings) -> Flow:
    """The page's call, made through the running stack."""
    return Flow(stack)


def test_the_payloads_of_the_page_are_those_of_a_real_call(flow: Flow) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text, flow.payloads()) == text, "run .venv/bin/python -m tests.end_to_end.data_flow"


def test_jaeger_has_every_attribute_of_the_span_that_was_sent(flow: Flow) -> None:
    assert attributes(flow.stored) == attributes(flow.span)
    for name in ("traceId", "spanId", "startTimeUnixNano", "endTimeUnixNano"):
        assert flow.stored[name] == flow.span[name]


def test_victorialogs_has_every_field_of_the_record_that_was_sent(flow: Flow) -> None:
    (line,) = flow.lines
    for name, value in attributes(flow.record).items():
        stored = json.loads(line[name]) if line[name].startswith("[") else line[name]
        sent = json.loads(value) if line[name].startswith("[") else value
        assert (float(stored) if isinstance(value, float) else stored) == sent
    assert line["trace_id"] == flow.span["traceId"]
    assert line["_msg"] == flow.record["body"]["stringValue"]
    seconds, nanoseconds = divmod(int(flow.record["timeUnixNano"]), 10**9)
    assert (
        line["_time"] == f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}".rstrip("0") + "Z"
    )


def test_neither_content_nor_the_user_is_in_anything_that_is_exported(flow: Flow) -> None:
    assert "Where is my order?" in json.dumps([flow.request, flow.answer])
    exported = json.dumps([flow.traces, flow.metrics, flow.logs, flow.lines, flow.trace])
    assert "order" not in exported
    assert "alice" not in exported


def test_a_page_that_lacks_a_section_is_refused(flow: Flow) -> None:
    with pytest.raises(ValueError, match="has the sections"):
        page("", flow.payloads())
