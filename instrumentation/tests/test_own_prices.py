"""Prices of one's own, from a file."""

import logging
import os
import time
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from genai_observability._call import Call, Price
from genai_observability._pricing import FILE_VARIABLE, Prices

from instrumentation.tests.test_pricing import MILLION, call

D = Decimal


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "prices.toml"
    monkeypatch.setenv(FILE_VARIABLE, str(path))
    return path


def changed(prices: Prices, file: Path, text: str) -> None:
    """Write the file anew and let a second pass."""
    previous = file.stat().st_mtime_ns if file.exists() else 0
    file.write_text(text)
    os.utime(file, ns=(previous + 1_000_000, previous + 1_000_000))
    assert prices._own
    prices._own._next_look = 0.0


def test_a_model_that_the_table_lacks_costs_what_the_file_says(file: Path) -> None:
    file.write_text('[[price]]\nmodel = "acme-7b"\ninput = 0.10\ncached = 0.01\noutput = 0.40\n')
    used = call("acme-7b", provider="vllm", input=1_000, cached=600, output=50)
    expected = ((1_000 - 600) * D("0.10") + 600 * D("0.01") + 50 * D("0.40")) / MILLION
    assert Prices().price(used) == Price(amount=expected)


def test_prices_of_the_file_win_over_the_table_and_over_the_service_tier(file: Path) -> None:
    file.write_text('[[price]]\nmodel = "gpt-4o"\ninput = 1\noutput = 2\n')
    assert Prices().price(call("gpt-4o", input=MILLION, output=0)).amount == 1
    assert Prices().price(call("gpt-4o", input=MILLION, output=0, tier="flex")).amount == 1
    assert Prices().price(call("gpt-4.1", input=MILLION, output=0)).amount == 2


@pytest.mark.parametrize(
    ("prices", "used", "dollars"),
    [
        ("characters = 12", call("acme", characters=500), 500 * D(12) / MILLION),
        ("audio_hour = 0.25", call("acme", audio_seconds=90), 90 * D("0.25") / 3_600),
        ("image = 0.04", call("acme", images=3), 3 * D("0.04")),
        ("request = 0.002", call("acme", input=5, output=5), D("0.002")),
        ("input = 1\noutput = 2\nweb_search = 0.01", call("acme", input=5, output=5, web_searches=2),
         (5 * D(1) + 5 * D(2)) / MILLION + 2 * D("0.01")),
        ("input = 1\nimage_input = 2\noutput = 3\nimage_output = 40\nfile_search = 0.5",
         call("acme", input=100, image_input=90, output=80, image_output=70, file_searches=1),
         ((100 - 90) * D(1) + 90 * D(2) + (80 - 70) * D(3) + 70 * D(40)) / MILLION + D("0.5")),
        ("input = 1\naudio_input = 30\ncached = 0.5\naudio_cached = 9\noutput = 3\naudio_output = 60",
         call("acme", input=100, audio_input=50, cached=30, audio_cached=20, output=80, audio_output=40),
         ((100 - 50 - 30 + 20) * D(1) + (50 - 20) * D(30) + (30 - 20) * D("0.5") + 20 * D(9)
          + (80 - 40) * D(3) + 40 * D(60)) / MILLION),
        ("input = 1\ncache_write = 2\noutput = 3\nreasoning = 5",
         call("acme", input=100, cache_write=20, output=80, reasoning=10),
         ((100 - 20) * D(1) + 20 * D(2) + (80 - 10) * D(3) + 10 * D(5)) / MILLION),
    ],
)  # fmt: skip
def test_every_kind_of_usage_can_be_priced(file: Path, prices: str, used: Call, dollars: Decimal) -> None:
    file.write_text(f'[[price]]\nmodel = "acme"\n{prices}\n')
    assert Prices().price(used) == Price(amount=dollars)


def test_images_that_were_not_counted_are_unpriced(file: Path) -> None:
    file.write_text('[[price]]\nmodel = "acme"\nimage = 0.04\n')
    assert Prices().price(call("acme", input=5, output=5)) == Price(unpriced="no_usage")


def test_a_model_can_cost_what_another_costs_less_a_discount(file: Path) -> None:
    file.write_text('[[price]]\nmodel = "support-bot"\nsame_as = "gpt-4o-mini"\ndiscount = 0.2\n')
    used = call("support-bot", provider="azure.ai.openai", input=1_000, cached=400, output=100)
    expected = (600 * D("0.15") + 400 * D("0.075") + 100 * D("0.60")) * (1 - D("0.2")) / MILLION
    assert Prices().price(used) == Price(amount=expected)


def test_a_discount_on_all_models_of_a_provider_leaves_the_others_alone(file: Path) -> None:
    file.write_text('[[price]]\nmodel = "*"\nprovider = "azure.ai.openai"\ndiscount = 0.1\n')
    prices = Prices()
    assert prices.price(call("gpt-4o", provider="azure.ai.openai", input=MILLION, output=0)).amount == D("2.5") * D(
        "0.9"
    )
    assert prices.price(call("gpt-4o", input=MILLION, output=0)).amount == D("2.5")
    unknown = call("acme", provider="azure.ai.openai", input=1, output=1)
    assert prices.price(unknown) == Price(unpriced="unknown_model")


def test_a_discount_applies_to_the_price_of_the_service_tier(file: Path) -> None:
    file.write_text('[[price]]\nmodel = "gpt-5"\ndiscount = 0.1\n')
    assert Prices().price(call("gpt-5", tier="flex", input=MILLION, output=0)).amount == D("0.625") * D("0.9")


def test_a_tier_that_the_table_lacks_can_be_priced(file: Path) -> None:
    file.write_text('[[price]]\nmodel = "text-embedding-3-small"\ntier = "batch"\ndiscount = 0.5\n')
    prices = Prices()
    assert prices.price(call("text-embedding-3-small", tier="batch", input=MILLION)).amount == D("0.02") * D("0.5")
    assert prices.price(call("text-embedding-3-small", input=MILLION)).amount == D("0.02")


def test_of_several_lines_the_one_that_says_most_counts(file: Path) -> None:
    file.write_text(
        "\n".join(
            f"[[price]]\n{line}\noutput = 0\n"
            for line in (
                'model = "acme-*"\ninput = 1',
                'model = "acme-large*"\ninput = 2',
                'model = "acme-large-2"\ninput = 3',
                'model = "acme-large-2"\nprovider = "openai"\ninput = 4',
            )
        )
    )
    prices = Prices()

    def dollars(model: str, provider: str = "vllm", **more: str) -> Decimal | None:
        return prices.price(call(model, provider=provider, input=MILLION, output=0, **more)).amount  # type: ignore[arg-type]

    assert dollars("acme-small") == 1
    assert dollars("ACME-Large-1") == 2
    assert dollars("acme-large-2") == 3
    assert dollars("acme-large-2", provider="openai") == 4
    assert dollars("acme-large-2", response_model="acme-small-7") == 3  # whichever of the two names says most


def test_the_price_of_the_day_counts(file: Path) -> None:
    file.write_text(
        '[[price]]\nmodel = "acme"\nvalid_from = 2026-01-01\ninput = 1\noutput = 0\n'
        '[[price]]\nmodel = "acme"\nvalid_from = 2026-07-01\ninput = 2\noutput = 0\n'
    )
    prices = Prices()

    def price(at: str) -> Price:
        return prices.price(call("acme", input=MILLION, output=0, at=datetime.fromisoformat(at)))

    assert price("2025-12-31T23:59:59Z") == Price(unpriced="unknown_model")
    assert price("2026-01-01T00:00:00Z").amount == 1
    assert price("2026-06-30T23:59:59Z").amount == 1
    assert price("2026-07-01T00:00:00Z").amount == 2


def test_a_changed_file_counts_without_a_restart_and_is_looked_at_once_a_second(file: Path) -> None:
    file.write_text('[[price]]\nmodel = "acme"\ninput = 1\noutput = 0\n')
    prices, used = Prices(), call("acme", input=MILLION, output=0)
    assert prices.price(used).amount == 1
    assert prices._own
    assert prices._own._next_look <= time.monotonic() + 1.0
    prices._own._next_look = float("inf")  # a second that does not end
    file.write_text('[[price]]\nmodel = "acme"\ninput = 20\noutput = 0\n')
    assert prices.price(used).amount == 1
    changed(prices, file, '[[price]]\nmodel = "acme"\ninput = 20\noutput = 0\n')
    assert prices.price(used).amount == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[price]]\nmodel = "acme"\ninput 1', "is not used: Expected '=' after a key in a key/value pair (at line 3"),
        (
            '[[price]]\nmodel = "acme"\ninptu = 1',
            "is not used: line 1, model 'acme': inptu = 1 is not known; known are",
        ),
        ('\n\n[[price]]\nmodel = "acme"\ninput = "1"', "line 3, model 'acme': input = 1 is no number of US dollars"),
        ('[[price]]\nmodel = "acme"\ninput = -1', "input = -1 is no number of US dollars, such as 0.15"),
        ('[[price]]\nmodel = "acme"\ninput = nan', "input = NaN is no number of US dollars"),
        ('[[price]]\nmodel = "acme"\ninput = true', "input = True is no number of US dollars"),
        ('[[price]]\nmodel = "acme"', "it needs either prices, such as input and output, or same_as or discount"),
        ('[[price]]\nmodel = "acme"\ninput = 1\ndiscount = 0.1', "it needs either prices"),
        ('[[price]]\nmodel = "acme"\ncached = 1', "a price for cached needs one for input too"),
        (
            '[[price]]\nmodel = "acme"\ninput = 1\ncached = 1\naudio_input = 1',
            "prices for cached and audio_input need one for audio_cached too",
        ),
        ("[[price]]\ninput = 1", "line 1, model None: model is missing"),
        ("[[price]]\nmodel = 1\ninput = 1", "model = 1 is no text in quotes"),
        ('[[price]]\nmodel = "acme"\ndiscount = 20', "discount = 20 is more than 1; 0.2 takes a fifth off"),
        ('[[price]]\nmodel = "acme"\ntier = "cheap"\ninput = 1', "tier = cheap is no tier; tiers are flex, priority"),
        (
            '[[price]]\nmodel = "a"\nvalid_from = "2026-07-01"\ninput = 1',
            "is no date such as 2026-07-01, without quotes",
        ),
        (
            '[[price]]\nmodel = "a"\nsame_as = "gpt-none"',
            "same_as = 'gpt-none' is a model that the price table does not",
        ),
        ('[prices]\nmodel = "acme"', "only tables [[price]] are known, not prices"),
        ('[price]\nmodel = "acme"', "only tables [[price]] are known"),
    ],
)
def test_a_broken_file_is_told_once_in_a_sentence_and_the_prices_before_stay(
    file: Path, caplog: pytest.LogCaptureFixture, text: str, message: str
) -> None:
    file.write_text('[[price]]\nmodel = "acme"\ninput = 7\noutput = 0\n')
    prices, used = Prices(), call("acme", input=MILLION, output=0)
    assert prices.price(used).amount == 7
    for _ in range(2):
        changed(prices, file, text)
        assert prices.price(used).amount == 7
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"The file of prices {file} is not used: ")
    assert message in record.getMessage()
    assert record.getMessage().endswith("; the prices read before stay in force.")
    changed(prices, file, '[[price]]\nmodel = "acme"\ninput = 8\noutput = 0\n')
    assert prices.price(used).amount == 8


def test_a_missing_file_is_told_once_and_counts_as_soon_as_it_is_there(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prices = Prices()
    for _ in range(2):
        assert prices.price(call("gpt-4o", input=MILLION, output=0)).amount == D("2.50")
        assert prices._own
        prices._own._next_look = 0.0
    assert [record.getMessage() for record in caplog.records] == [
        f"The file of prices {file} cannot be read: No such file or directory; calls are priced by the table alone."
    ]
    changed(prices, file, '[[price]]\nmodel = "gpt-4o"\ninput = 1\noutput = 0\n')
    assert prices.price(call("gpt-4o", input=MILLION, output=0)).amount == 1
    file.unlink()
    assert prices._own
    prices._own._next_look = 0.0
    assert prices.price(call("gpt-4o", input=MILLION, output=0)).amount == 1
    assert "the prices read before stay in force" in caplog.records[-1].getMessage()


def test_the_files_path_is_that_of_the_directory_at_the_start(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file.write_text('[[price]]\nmodel = "acme"\ninput = 1\noutput = 0\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(FILE_VARIABLE, file.name)
    prices = Prices()
    monkeypatch.chdir("/")
    assert prices.price(call("acme", input=MILLION, output=0)).amount == 1


def test_a_file_that_is_no_text_is_told(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_bytes(b"\xff\xfe[[price]]")
    assert Prices().price(call("gpt-4o", input=MILLION, output=0)).amount == D("2.50")
    assert "is not used: 'utf-8' codec can't decode" in caplog.text


def test_a_file_saved_by_a_spreadsheet_or_on_windows_is_read(file: Path) -> None:
    file.write_bytes(b'\xef\xbb\xbf[[price]]\r\nmodel = "acme"\r\ninput = 1\r\noutput = 0\r\n')
    assert Prices().price(call("acme", input=MILLION, output=0)).amount == 1
