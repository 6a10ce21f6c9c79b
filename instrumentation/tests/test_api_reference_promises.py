"""The examples of the API reference, those of the docstrings, run as they are; nothing raises that it does not say."""

import math
import re
import sys
from pathlib import Path

import genai_observability
import pytest
from genai_observability import signals

from instrumentation.tests.otlp_capture import Capture, values
from instrumentation.tests.programs import Run
from instrumentation.tests.recording import Recording

PAGE = (Path(__file__).parents[2] / "docs" / "api-reference.md").read_text()
EXAMPLES = re.findall(r"\*\*Example\*\*\n\n```python\n(.*?)```", PAGE, re.DOTALL)
BEGINNING = EXAMPLES[0].partition("with ")[0]


def program(example: str) -> str:
    """An example behind the beginning of the first one, as the page says; some call ``instrument()`` themselves."""
    begins = "genai_observability.instrument("
    lines = BEGINNING.splitlines(keepends=True)
    return "".join(line for line in lines if begins not in line or begins not in example) + example


def run_alone(run: Run, environment: dict[str, str], example: str) -> None:
    api = {"OPENAI_BASE_URL": f"{environment['PROVIDER']}/v1", "OPENAI_API_KEY": "test"}
    key = {"GENAI_OBSERVABILITY_USER_KEY": "key"}
    done = run(sys.executable, "-W", "error", "app.py", program=program(example), **api, **key)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_example_of_a_docstring_is_on_the_page() -> None:
    source = Path(genai_observability.__file__).parent
    written = sum(file.read_text().count("Example:\n") for file in source.rglob("*.py"))
    assert len(EXAMPLES) == written > 10


@pytest.mark.parametrize(
    "example", EXAMPLES, ids=lambda example: re.findall(r"genai_observability\.(\w+)", example)[-1]
)
def test_an_example_runs_without_a_warning_and_is_recorded(
    run: Run, environment: dict[str, str], capture: Capture, example: str
) -> None:
    run_alone(run, environment, example)
    events = [values(record.attributes)["event.name"] for record in capture.records]
    assert events.count(signals.CALL_EVENT) == example.count("client.") + example.count(".embedding(")
    assert events.count(signals.EVALUATION_EVENT) == len(re.findall(r"\.(?:feedback|evaluation)\(", example))


@pytest.mark.parametrize("text", ["", "\ud800", "x" * 100_000])
@pytest.mark.parametrize("number", [-1, math.nan, math.inf])
def test_values_that_cannot_be_recorded_raise_nothing(recording: Recording, text: str, number: float) -> None:
    cache = genai_observability.cache(text)
    with (
        genai_observability.attributed_to(feature=text, user=text, metadata={text: number}),
        genai_observability.workflow(text),
        genai_observability.agent(text, version=text, model=text),
        genai_observability.tool(text, call_id=text, type=text),
        genai_observability.retrieval(text, top_k=-1) as found,
        genai_observability.rerank(text, model=text, top_k=-1),
        genai_observability.embedding(text, provider=text) as embedded,
    ):
        found.documents([(text, number), text, object()])
        embedded.tokens(-1)
        genai_observability.evaluation(text, score=number, label=text, explanation=text, feedback_token=text)
        genai_observability.feedback("report", category=text, comment=text, response_id=text)
        genai_observability.feedback("stars", stars=-1, feedback_token=genai_observability.feedback_token(text))
        genai_observability.fallback(from_model=text, to_model=text, reason=text)
        cache.hit(similarity=number, age=number, saved_usd=number, saved_seconds=number)
        cache.eviction(entries=-1)
        cache.size(number)
        genai_observability.queue_depth(text, lambda: 1 / 0)
    assert signals.CACHE_REQUESTS.name in recording.metric_names()
    cache.size(None)
    genai_observability.queue_depth(text, None)
