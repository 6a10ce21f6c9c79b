"""Calls, traces and users above a limit: measured in a real warehouse, few, and with few new ones a day."""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import httpx
import pytest
from genai_observability import signals

from stack.offenders import CALL, GAUGES, LOOP, SAME, USER_CALLS, USER_MONEY, USER_TOKENS
from stack.settings import Settings
from stack.thresholds import Thresholds
from stack.usage import offenders
from stack.usage.metrics import Metrics
from stack.usage.offenders import KINDS, MOST, NEW_A_DAY, Admission, Offenders
from stack.usage.schema import SUMS
from stack.warehouse import OWNER, address
from tests import usage
from tests.calls import Call, send

THRESHOLDS = Thresholds.load()
MINUTE = 60.0
HOUR = 3600.0
Series = dict[str, dict[tuple[tuple[str, str], ...], float]]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The warehouse with its ingest."""
    with usage.warehouse(tmp_path_factory.mktemp("offenders")) as settings:
        yield settings


def execute(settings: Settings, sql: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(address(settings, OWNER))
        try:
            await connection.execute(f"SET search_path = genai; {sql}")
        finally:
            await connection.close()

    asyncio.run(run())


@pytest.fixture
def empty(warehouse: Settings) -> Settings:
    execute(warehouse, f"TRUNCATE calls, {', '.join(SUMS)}")
    return warehouse


class Measured:
    """The gauges of one service, measured once or again and again."""

    def __init__(self, settings: Settings, thresholds: Thresholds = THRESHOLDS, *, new_a_day: int = NEW_A_DAY) -> None:
        self.metrics = Metrics()
        self.offenders = Offenders(settings, self.metrics, thresholds, new_a_day=new_a_day)

    def __call__(self) -> Series:
        async def measure() -> None:
            for kind in KINDS:
                await self.offenders.measure(kind)
            await self.offenders.close()

        asyncio.run(measure())
        return self.series()

    def series(self) -> Series:
        """As Prometheus reads them."""
        found: Series = {gauge.prometheus: {} for gauge in GAUGES}
        for name, labels, number in re.findall(
            r"^(genai_offender_\w+)\{(.*)\} (\S+)$", self.metrics.exposition().decode(), re.MULTILINE
        ):
            found[name][tuple(re.findall(r'(\w+)="([^"]*)"', labels))] = float(number)
        return found

    def count(self, counter: str, gauge: str) -> float:
        return self.metrics.registry.get_sample_value(f"usage_offenders_{counter}_total", {"gauge": gauge}) or 0.0


def trace(number: int) -> str:
    return f"{number:032x}"


def test_what_stays_below_every_limit_is_no_series(empty: Settings) -> None:
    send(
        empty,
        "quiet",
        Call(trace=1, user="u", cost=0.1),  # not dearer than the limit
        *(Call(trace=1, user="u") for _ in range(15)),  # the same call, and all in one trace …
        *(Call(trace=1, user="u", input_tokens=number) for number in range(1, 30)),
        *(Call(trace=number, user=f"u-{number}", cost=0.09, input_tokens=1000) for number in range(2, 50)),
        *(
            Call(trace=number, user="u", operation="embeddings") for number in range(100, 500)
        ),  # … not a user's requests
        *(Call() for _ in range(400)),  # nobody's, and of no trace
        Call(trace=2000, cost=None),
    )
    assert not any(Measured(empty)().values())


def test_each_kind_is_measured_with_the_labels_that_tell_offenders_apart(empty: Settings) -> None:
    send(
        empty,
        "loud",
        Call(trace=0xD0, user="u-dear", feature="digest", cost=0.75),
        Call(trace=0xDA, user="u-dear", feature="digest", cost=1.25, environment="prod"),
        Call(trace=0xDB, user="u-other", feature="digest", cost=0.5, environment="prod"),
        *(Call(trace=0x100, feature="agent") for _ in range(51)),
        *(Call(trace=0x200 + number, user="u-double", feature="widget") for number in range(21)),
        *(Call(trace=0x300 + number, user="u-fast", input_tokens=number) for number in range(301)),
        *(Call(trace=0x600 + number, user="u-long", input_tokens=26_000) for number in range(4)),
        *(Call(trace=0x700 + number, user="u-rich", cost=0.09, input_tokens=number) for number in range(60)),
    )
    of, prod = ((("job", "loud"), ("deployment_environment_name", environment)) for environment in ("", "prod"))
    found = Measured(empty)()
    assert {name: dict(series) for name, series in found.items()} == {
        CALL.prometheus: {
            _sorted(*of, ("app_feature", "digest"), ("gen_ai_request_model", "gpt-5"), ("user_hash", "u-dear"),
                    ("trace_id", trace(0xD0))): 0.75,
            _sorted(*prod, ("app_feature", "digest"), ("gen_ai_request_model", "gpt-5"), ("user_hash", "u-dear"),
                    ("trace_id", trace(0xDA))): 1.25,
        },
        LOOP.prometheus: {_sorted(*of, ("app_feature", "agent"), ("trace_id", trace(0x100))): 51},
        SAME.prometheus: {
            _sorted(*of, ("app_feature", "widget"), ("gen_ai_request_model", "gpt-5"), ("user_hash", "u-double"),
                    ("gen_ai_usage_input_tokens", "100")): 21,
        },
        USER_CALLS.prometheus: {_sorted(*of, ("user_hash", "u-fast")): 301},
        USER_TOKENS.prometheus: {_sorted(*of, ("user_hash", "u-long")): 4 * 26_010},
        USER_MONEY.prometheus: {_sorted(*of, ("user_hash", "u-rich")): pytest.approx(5.4)},
    }  # fmt: skip


def _sorted(*labels: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels))


@pytest.mark.parametrize(
    ("gauge", "window", "calls"),
    [
        (CALL, 5 * MINUTE, [Call(trace=1, cost=0.2)]),
        (LOOP, 5 * MINUTE, [Call(trace=1) for _ in range(51)]),
        (SAME, 2 * MINUTE, [Call(trace=number, user="u") for number in range(21)]),
        (USER_CALLS, 5 * MINUTE, [Call(trace=number, user="u", input_tokens=number) for number in range(301)]),
        (USER_TOKENS, HOUR, [Call(user="u", input_tokens=100_000)]),
        (USER_MONEY, 24 * HOUR, [Call(user="u", cost=5.01)]),
    ],
    ids=lambda each: getattr(each, "name", ""),
)
def test_a_window_has_what_is_a_little_younger_and_nothing_older(
    empty: Settings, gauge: signals.Metric, window: float, calls: list[Call]
) -> None:
    send(empty, "young", *(replace(call, ago=window - 20) for call in calls))
    send(empty, "old", *(replace(call, ago=window + 1) for call in calls))
    send(empty, "ahead", *(replace(call, ago=-60) for call in calls))  # by a clock that is wrong
    assert {dict(labels)["job"] for labels in Measured(empty)()[gauge.prometheus]} == {"young"}


def test_the_money_of_a_rolling_day_is_exact_across_midnight(empty: Settings) -> None:
    """Every hour a cent more than the hour before: only the sum of the last 24 is right."""
    send(empty, "shop", *(Call(user="u", cost=0.2 + hour / 100, ago=hour * HOUR + 60) for hour in range(60)))
    (money,) = Measured(empty)()[USER_MONEY.prometheus].values()
    assert money == pytest.approx(sum(0.2 + hour / 100 for hour in range(24)))


def test_a_service_without_a_name_is_called_as_opentelemetry_calls_it(empty: Settings) -> None:
    send(empty, "", Call(trace=1, cost=0.2))
    (labels,) = Measured(empty)()[CALL.prometheus]
    assert dict(labels)["job"] == "unknown_service"


def test_at_most_ten_are_offered_the_worst_of_all(empty: Settings) -> None:
    send(
        empty,
        "shop",
        *(Call(trace=number, feature=f"f{number}", cost=1 + number, user=f"u{number}") for number in range(30)),
    )
    found = Measured(empty)()
    assert sorted(found[CALL.prometheus].values()) == list(range(21, 31))
    assert sorted(found[USER_MONEY.prometheus].values()) == list(range(21, 31))


def test_a_series_ends_with_what_it_is_about(empty: Settings) -> None:
    measured = Measured(empty)
    send(empty, "shop", Call(trace=1, cost=0.2))
    assert measured()[CALL.prometheus]
    execute(empty, "UPDATE calls SET ended_at = ended_at - interval '6 minutes'")
    assert not measured()[CALL.prometheus]


def test_the_limits_are_those_of_the_file(empty: Settings) -> None:
    send(empty, "shop", Call(trace=1, cost=0.2))
    limit = replace(THRESHOLDS.expensive_request.warning, above=0.2)
    dearer = replace(THRESHOLDS, expensive_request=replace(THRESHOLDS.expensive_request, warning=limit))
    assert Measured(empty)()[CALL.prometheus]
    assert not Measured(empty, dearer)()[CALL.prometheus]


# --- New ones --------------------------------------------------------------------------------------------------------


def found(*names: str) -> list[offenders.Offender]:
    return [((name,), 1.0) for name in names]


def test_so_many_are_new_within_a_day_and_no_more_until_one_of_them_is_a_day_old() -> None:
    admission = Admission(most=2)
    assert admission.admit(found("a", "b", "c"), 0) == (found("a", "b"), 2)
    assert admission.admit(found("c"), 86_399) == ([], 0)
    assert admission.admit(found("c"), 86_401) == (found("c"), 1)


def test_one_that_is_known_keeps_its_place_for_as_long_as_it_lasts_and_comes_back_within_the_day() -> None:
    admission = Admission(most=1)
    for hour in range(60):
        assert admission.admit(found("a"), hour * HOUR)[0] == found("a")
    admission = Admission(most=1)
    admission.admit(found("a"), 0)
    admission.admit([], 60)
    assert admission.admit(found("b", "a"), 120) == (found("a"), 0)


def test_what_is_left_out_is_counted(empty: Settings) -> None:
    measured = Measured(empty, new_a_day=3)
    send(empty, "shop", *(Call(trace=number, feature=f"f{number}", cost=1 + number) for number in range(5)))
    assert sorted(measured()[CALL.prometheus].values()) == [3, 4, 5]
    assert (measured.count("new", CALL.prometheus), measured.count("left_out", CALL.prometheus)) == (3, 2)
    measured()
    assert (measured.count("new", CALL.prometheus), measured.count("left_out", CALL.prometheus)) == (3, 4)


# --- Trouble ---------------------------------------------------------------------------------------------------------


def test_a_measurement_that_takes_too_long_is_cut_counted_and_leaves_no_old_series(
    empty: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offenders, "TIMEOUT_S", 1)
    measured = Measured(empty)
    send(empty, "shop", Call(trace=1, cost=0.2))
    assert measured()[CALL.prometheus]

    async def locked() -> None:
        owner = await asyncpg.connect(address(empty, OWNER))
        async with owner.transaction():
            await owner.execute("LOCK TABLE genai.calls")
            began = time.monotonic()
            await measured.offenders.measure(KINDS[0])
            assert 0.9 < time.monotonic() - began < 3
        await owner.close()
        await measured.offenders.close()

    asyncio.run(locked())
    assert measured.count("failed", CALL.prometheus) == 1
    assert not measured.series()[CALL.prometheus]
    assert measured()[CALL.prometheus]


def test_the_service_measures_by_itself_and_says_when(warehouse: Settings) -> None:
    text = httpx.get(f"{warehouse.usage_url}/metrics").text
    times = dict(re.findall(r'usage_offenders_measured_timestamp_seconds\{gauge="(\w+)"\} (\S+)', text))
    assert set(times) == {gauge.prometheus for gauge in GAUGES}
    assert all(time.time() - float(moment) < 120 for moment in times.values())


def test_a_file_of_thresholds_with_a_fault_ends_the_service_with_a_sentence(
    warehouse: Settings, tmp_path: Path
) -> None:
    faulty = tmp_path / "thresholds.yaml"
    faulty.write_text("owner: 3\n")
    done = subprocess.run(
        [sys.executable, "-m", "stack.usage"],
        env={**warehouse.variables(), "THRESHOLDS_FILE": str(faulty)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert str(faulty) in done.stderr
    assert "Traceback" not in done.stderr


def test_no_more_series_than_ten_of_each_kind_can_be_there_at_a_time() -> None:
    assert MOST == 10
    assert all(f"LIMIT {MOST}" in kind.sql for kind in KINDS)
    assert {kind.gauge for kind in KINDS} == set(GAUGES)
