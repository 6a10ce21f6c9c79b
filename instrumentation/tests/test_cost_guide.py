"""The guide to costs says what is so."""

import os
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from genai_observability import signals
from genai_observability._pricing import FILE_VARIABLE, UPDATE_VARIABLE, Prices
from genai_observability._pricing.own import _KEYS

from instrumentation.tests.otlp_capture import Capture, values
from instrumentation.tests.test_pricing import MILLION, call

GUIDE = (Path(__file__).parents[2] / "docs" / "cost.md").read_text()
D = Decimal


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The guide's file of prices."""
    (text,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    path = tmp_path / "prices.toml"
    path.write_text(text)
    return path


def test_the_guides_program_costs_what_the_guides_file_says(provider: str, capture: Capture, file: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=clean
        | {FILE_VARIABLE: str(file), "OPENAI_BASE_URL": f"{provider}/v1", "OPENAI_API_KEY": "test"}
        | {"OTEL_EXPORTER_OTLP_ENDPOINT": capture.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (record,) = capture.records
    fields = values(record.attributes)
    used = fields[signals.INPUT_TOKENS.name] * 0.10 + fields[signals.OUTPUT_TOKENS.name] * 0.40
    assert fields[signals.COST.name] == pytest.approx(used / 1e6, rel=1e-9)
    assert fields[signals.COST_SOURCE.name] == "local"
    assert signals.PRICES_AGE.name in {metric.name for metric in capture.metrics}


@pytest.mark.parametrize(
    ("model", "provider", "tier", "year", "dollars"),
    [
        ("acme-internal-7b", "openai", None, 2026, D("0.10")),
        ("acme-internal-7b", "openai", None, 2027, D("0.08")),
        ("support-bot", "openai", None, 2026, D("0.15")),
        ("gpt-4o", "azure.ai.openai", None, 2026, D("2.50") * D("0.9")),
        ("gpt-5-mini", "azure.ai.openai", None, 2026, D("0.25") * D("0.8")),
        ("text-embedding-3-small", "openai", "batch", 2026, D("0.02") * D("0.5")),
    ],
)
def test_each_line_of_the_guides_file_does_what_is_written_above_it(
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    provider: str,
    tier: str | None,
    year: int,
    dollars: Decimal,
) -> None:
    monkeypatch.setenv(FILE_VARIABLE, str(file))
    at = datetime(year, 11, 20, tzinfo=UTC)
    assert Prices().price(call(model, provider=provider, tier=tier, at=at, input=MILLION, output=0)).amount == dollars


def test_the_guide_names_every_key_and_every_reason() -> None:
    for name in (*_KEYS, "unknown_model", "no_usage", "no_price", "invalid_usage", FILE_VARIABLE, UPDATE_VARIABLE):
        assert f"`{name}`" in GUIDE
    assert f"`{signals.PRICES_AGE.prometheus}`" in GUIDE
    assert tomllib.loads("".join(re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)))
