"""What `make demo` promises."""

import re

from tests.end_to_end.live import Demonstration


def test_the_demo_ends_with_figures_that_agree_in_every_store(demonstration: Demonstration) -> None:
    rows = dict(
        re.findall(
            r"^ *(model calls|requests, as traces|cost in US dollars) +(.+)$", demonstration.output, re.MULTILINE
        )
    )
    calls = rows["model calls"].split()
    assert len(calls) == 4, "the provider's ledger and three stores"
    assert len(set(calls)) == 1
    assert int(calls[0].replace(",", "")) > 100
    assert len({round(float(dollars), 5) for dollars in rows["cost in US dollars"].split()}) == 1
    assert "all figures agree" in demonstration.output


def test_the_alert_reaches_the_inbox_within_a_minute_of_the_fault(demonstration: Demonstration) -> None:
    found = re.search(r"the alert GenAIErrorBurst arrived in the inbox (\d+) s after the fault", demonstration.output)
    assert found
    assert int(found[1]) <= 60
