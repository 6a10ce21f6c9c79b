"""A user's own application, as the README and the guides show it: installed in an environment of its own.

Every block of Python in them is a whole program, and runs here as it stands.
"""

import re
import subprocess
import venv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from genai_observability import signals

from stack.clients import Jaeger, Prometheus, Where, log_store
from stack.settings import Settings
from tests.end_to_end.live import ROOT, eventually, without_otel

README = ROOT / "README.md"
FIRST = ROOT / "docs" / "first-application.md"
CALLS = {signals.EVENT_NAME.name: signals.CALL_EVENT}


def programs(page: Path) -> list[str]:
    """The blocks of Python in a page."""
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


WITH_TESTS_OF_THEIR_OWN = {
    ROOT / "docs" / f"{name}.md"
    for name in (
        "api-reference",
        "attribution",
        "batches",
        "budgets",
        "chains",
        "clients",
        "content",
        "cost",
        "logs",
        "streams",
    )
}
PAGES = [README, ROOT / "instrumentation/README.md", *sorted({*ROOT.glob("docs/*.md")} - WITH_TESTS_OF_THEIR_OWN)]
PROGRAMS = {
    f"{page.relative_to(ROOT).with_suffix('')}-{number}".replace("/", "-"): program
    for page in PAGES
    for number, program in enumerate(programs(page), start=1)
}
CALLING = {name: program for name, program in PROGRAMS.items() if "openai.OpenAI()" in program}


class Shop:
    """Runs programs in the user's environment, and asks the stores what they have recorded."""

    def __init__(self, python: Path, stack: Settings, provider: str, folder: Path) -> None:
        self.logs, self.jaeger = log_store(stack), Jaeger(stack.jaeger_url)
        self.prometheus = Prometheus(stack.prometheus_url)
        self.began = datetime.now(UTC)
        self._python = python
        self._folder = folder
        (folder / "user.key").write_text("key\n")
        self._environment = without_otel(
            OTEL_EXPORTER_OTLP_ENDPOINT=stack.otlp_http_url,
            OPENAI_BASE_URL=f"{provider}/v1",
            OPENAI_API_KEY="test",
            GENAI_OBSERVABILITY_USER_KEY_FILE="user.key",
        )

    def run(self, program: str, **environment: str) -> str:
        """What the program prints; it must end well and complain about nothing."""
        done = subprocess.run(
            [self._python, "-W", "error", "-c", program],
            cwd=self._folder,
            env=self._environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def lines(self, service: str, **fields: str) -> list[dict[str, str]]:
        """The fields of the log records of a service that have these values, once there are some."""
        later = datetime.now(UTC) + timedelta(seconds=5)
        where = [Where("service.name", "=", service), *(Where(name, "=", value) for name, value in fields.items())]
        found = eventually(lambda: list(self.logs.lines(*where, start=self.began, end=later)))
        return [line.fields for line in found]

    def spans(self, service: str) -> list[Any]:
        """The spans of a service, once there are some."""
        later = datetime.now(UTC) + timedelta(seconds=5)
        return eventually(lambda: self.jaeger.spans(service, start=self.began, end=later))


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python into which the README's command, and the client, have been installed."""
    (command,) = re.findall(r"^ *pip install (.*instrumentation\[openai\].*)$", README.read_text(), re.MULTILINE)
    environment = tmp_path_factory.mktemp("shop")
    venv.create(environment, with_pip=True)
    packages = [word.strip("'") for word in command.split()]
    pip = [environment / "bin" / "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", "openai", *packages]
    subprocess.run(pip, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return environment / "bin" / "python"


@pytest.fixture
def shop(stack: Settings, python: Path, provider: str, tmp_path: Path) -> Shop:
    """The user's environment, beside a running stack."""
    return Shop(python, stack, provider, tmp_path)


def test_the_example_of_the_readme_is_counted_priced_logged_and_traced(shop: Shop) -> None:
    (program,) = programs(README)
    shop.run(program)
    calls = f'sum by (app_feature) (increase({signals.CALL_DURATION.prometheus}_count{{job="shop"}}[5m] anchored))'
    counted = eventually(lambda: shop.prometheus.query(calls))  # the first event of a new series, of a short script
    assert [(sample.labels, sample.value) for sample in counted] == [({"app_feature": "search"}, 1.0)]
    (cost,) = shop.prometheus.query(f'increase({signals.CALL_COST.prometheus}{{job="shop"}}[5m] anchored)')
    (line,) = shop.lines("shop", **{signals.FEATURE.name: "search"})
    (span,) = shop.spans("shop")
    assert line["trace_id"] == span.trace_id
    assert float(line[signals.COST.name]) == pytest.approx(cost.value)
    assert span.attributes[signals.COST.name] == pytest.approx(cost.value)
    assert span.attributes[signals.USER_HASH.name] == line[signals.USER_HASH.name]
    assert "alice@example.com" not in repr((line, span))


def test_every_program_of_the_guides_makes_calls_but_the_one_that_computes_a_hash() -> None:
    assert len(CALLING) > 4
    assert PROGRAMS.keys() - CALLING.keys() == {"docs-first-application-3"}


@pytest.mark.parametrize("name", CALLING)
def test_the_calls_of_every_program_of_the_guides_are_counted_priced_and_attributed(shop: Shop, name: str) -> None:
    service, program = f"of-{name}", CALLING[name]
    shop.run(program, OTEL_SERVICE_NAME=service)
    lines = shop.lines(service, **CALLS)
    assert len(lines) == program.count(".create(")
    for line in lines:
        assert line[signals.OUTCOME.name] == "success"
        assert float(line[signals.COST.name]) > 0
        for argument, attribute in (("feature=", signals.FEATURE), ("user=", signals.USER_HASH)):
            assert (attribute.name in line) == (argument in program)


def test_the_scores_of_the_first_guide_are_joined_to_the_streamed_answer(shop: Shop) -> None:
    _, streaming, _ = programs(FIRST)
    shop.run(streaming, OTEL_SERVICE_NAME="scored")
    (call,) = shop.lines("scored", **CALLS)
    scores = shop.lines("scored", **{signals.EVENT_NAME.name: signals.EVALUATION_EVENT})
    assert {score[signals.EVALUATION_NAME.name] for score in scores} == {"user_feedback", "groundedness"}
    for score in scores:
        for field in ("trace_id", signals.FEATURE.name, signals.REQUEST_MODEL.name):
            assert score[field] == call[field]
    assert float(call[signals.TIME_TO_FIRST_TOKEN.name]) > 0


def test_the_hash_that_the_first_guide_computes_finds_the_users_calls(shop: Shop) -> None:
    calling, _, hashing = programs(FIRST)
    shop.run(calling, OTEL_SERVICE_NAME="hashed")
    hashed = shop.run(hashing).strip()
    assert len(hashed) == 64
    assert len(shop.lines("hashed", **{signals.USER_HASH.name: hashed})) == 1
