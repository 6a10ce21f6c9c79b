"""The demo's traffic: always the same for a seed, and with all that the dashboards show."""

from collections import Counter
from decimal import Decimal
from itertools import islice

import pytest

from demo.app.library import read_passages
from demo.bound import upper_bound
from demo.provider.faults import Fault, Faults
from demo.traffic import EVERYDAY, OUTAGE, Visit, visits


def planned(seed: int, count: int = 100) -> list[Visit]:
    return list(islice(visits(seed), count))


def test_the_same_seed_gives_the_same_visits() -> None:
    assert planned(1) == planned(1)
    assert planned(1) != planned(2)


@pytest.mark.parametrize(
    ("field", "least"),
    [("feature", 5), ("team", 3), ("tenant", 2), ("user", 10), ("session", 15), ("conversation", 30), ("variant", 2)],
)
def test_a_hundred_visits_come_from_several(field: str, least: int) -> None:
    assert len({visit.body[field] for visit in planned(1)}) >= least


def test_a_hundred_visits_use_every_route_and_rate_both_ways() -> None:
    assert {visit.path for visit in planned(1)} == {"/ask", "/ask/stream", "/summarise", "/research", "/sort"}
    opinions = Counter(visit.opinion for visit in planned(1))
    assert opinions["up"] > opinions["down"] > 0


def test_an_hour_of_visits_has_every_kind_of_feedback_and_few_attacks() -> None:
    hour = planned(1, 3600)
    kinds = {visit.opinion.split(" ")[0] for visit in hour}
    assert kinds == {"", "up", "down", "stars", "report", "copy", "regenerate"}
    attacks = [visit for visit in hour if "Ignore all previous instructions" in visit.body.get("question", "")]
    assert 0.005 < len(attacks) / len(hour) < 0.01  # the alert begins at 2 % of the calls


def test_every_fault_of_a_good_day_happens_within_the_first_calls_of_the_demo() -> None:
    faults = Faults(seed=0)
    faults.set(EVERYDAY)
    drawn = Counter(faults.draw(str(number).encode(), retry=False) for number in range(100))
    assert {fault for fault in drawn if fault} == {
        Fault.RATE_LIMIT, Fault.RATE_LIMIT_ONCE, Fault.HANG, Fault.SERVER_ERROR, Fault.SLOW,
    }  # fmt: skip


def test_the_outage_is_thirty_percent_of_server_errors() -> None:
    assert OUTAGE["server_error"] == 0.3


def test_the_most_that_visits_can_cost_is_added_up_by_hand() -> None:
    """One summary over one document, with every call made twice."""
    [passage] = read_passages()[:1]
    size = len(passage.text.encode())
    summary = next(visit for visit in visits(1) if visit.path == "/summarise")
    index = Decimal(size) * Decimal("0.02")
    topic = 2000 * Decimal("0.02")
    call = Decimal(size + 2000) * Decimal("0.40") + 300 * Decimal("1.60")
    assert upper_bound([summary], [passage]) == 2 * (index + topic + call) / 1_000_000


def test_twenty_visits_cost_less_than_half_a_dollar() -> None:
    assert 0 < upper_bound(planned(1, 20), read_passages()) < Decimal("0.50")
