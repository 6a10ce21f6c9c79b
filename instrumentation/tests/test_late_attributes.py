"""What the client's wrapper knows of an answer reaches its span later, and is the same as if it came at once."""

import sys
from typing import Any

from genai_observability import signals
from genai_observability._openai.later import _attributes as attributes
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.util.genai._inference_invocation import InferenceData

from instrumentation.tests.otlp_capture import Capture, values
from instrumentation.tests.programs import CLIENT, INSTRUMENT, Run

PROGRAM = (
    CLIENT
    + INSTRUMENT
    + """
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

own = InMemorySpanExporter()
ended, processor = [], handle._recorder._processor
on_end = processor.on_end
processor.on_end = lambda span: (ended.append("gen_ai.response.id" in span.attributes), on_end(span))
def connect():
    return openai.OpenAI(base_url=os.environ["PROVIDER"] + "/v1", api_key="test", max_retries=0)
def converse():
    client, question = connect(), [{"role": "user", "content": "What is a trace?"}]
    create = client.chat.completions.create
    create(model="gpt-4o-mini", messages=question, stop=["END", "FIN"], seed=7, temperature=0, max_tokens=64)
    create(model="o4-mini", messages=question, service_tier="flex", response_format={"type": "json_object"})
    create(model="gpt-4o-mini", messages=question, top_p=0.5, presence_penalty=1)
    for chunk in create(model="gpt-4o-mini", messages=question, stream=True):
        pass
    client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=question).parse()
    client.responses.create(model="gpt-4o-mini", input="What is a trace?", max_output_tokens=64)
    try:
        create(model="gpt-4o-mini", messages=question, n=2)
    except openai.BadRequestError:
        pass
"""
)
VARYING = ("response.id", "request_id", "output_tokens", "cost.amount", "estimated", "second", "time")


def spans_of(run: Run, capture: Capture, before: str) -> tuple[list[dict[str, Any]], str]:
    capture.bodies.clear()
    program = PROGRAM + before + "converse(); print(any(ended)); handle.shutdown()"
    done = run(sys.executable, "app.py", program=program)
    assert done.returncode == 0, done.stderr
    spans = sorted(capture.spans, key=lambda span: span.start_time_unix_nano)
    return [values(span.attributes) for span in spans], done.stdout.strip()


def test_a_span_has_the_same_attributes_whether_they_come_at_once_or_later(run: Run, capture: Capture) -> None:
    later, told_later = spans_of(run, capture, "")
    also = "trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(own))\n"
    at_once, told_at_once = spans_of(run, capture, also)
    assert (told_later, told_at_once) == ("False", "True")
    assert len(later) == len(at_once) == 7
    for one, other in zip(later, at_once, strict=True):
        assert one.keys() == other.keys()
        steady = [name for name in one if not any(varying in name for varying in VARYING)]
        assert len(steady) > 5
        assert {name: one[name] for name in steady} == {name: other[name] for name in steady}


def test_a_span_processor_of_the_application_sees_whole_spans(run: Run, capture: Capture) -> None:
    program = """
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(own))
converse()
print(sum("gen_ai.response.id" in span.attributes for span in own.get_finished_spans()))
"""
    done = run(sys.executable, "app.py", program=PROGRAM + program)
    assert done.stdout == "6\n", done.stderr


def test_an_answer_can_be_judged_as_soon_as_it_is_there(run: Run, capture: Capture) -> None:
    program = """
answer = connect().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "?"}])
genai_observability.feedback("up", response_id=answer.id)
handle.shutdown()
"""
    done = run(sys.executable, "app.py", program=PROGRAM + program)
    assert done.returncode == 0, done.stderr
    (span,) = capture.spans
    judged = [record for record in capture.records if signals.EVALUATION_NAME.name in values(record.attributes)]
    assert [record.span_id for record in judged] == [span.span_id]


def test_values_that_no_attribute_can_have_are_left_out_as_the_sdk_leaves_them_out() -> None:
    odd: list[Any] = [object(), {"a": object()}, [1, "two"], ["one", None], (), b"bytes", float("nan"), 10**30, True]
    for value in odd:
        data = InferenceData(request_seed=value, response_id=value, response_finish_reasons=value)
        span = TracerProvider(shutdown_on_exit=False).get_tracer("test").start_span("chat")
        names = ("gen_ai.request.seed", "gen_ai.response.id", "gen_ai.response.finish_reasons")
        span.set_attributes(dict.fromkeys(names, value))
        assert isinstance(span, ReadableSpan)
        expected = dict(span.attributes or {}) if value else dict.fromkeys(names[:2], ())
        assert repr(sorted(attributes(data).items())) == repr(sorted(expected.items()))


def test_a_wrapper_that_is_not_as_expected_goes_its_own_way_and_no_call_suffers(run: Run, capture: Capture) -> None:
    program = """
from genai_observability._openai import later
def broken(invocation):
    raise AttributeError("moved")
later._more_to_do = broken
converse()
print(sum(ended))
handle.shutdown()
"""
    done = run(sys.executable, "app.py", program=PROGRAM + program)
    assert (done.returncode, done.stdout) == (0, "6\n"), done.stderr
    assert len(capture.spans) == 7
