"""What `make demo` promises."""

import re

import httpx
from genai_observability import signals

from stack.clients import Prometheus
from stack.settings import Settings
from stack.vocabulary import chosen
from tests.browser import rendered, screenshot
from tests.end_to_end.live import ROOT, Demonstration, eventually

NOT_IN_ORDINARY_TRAFFIC = {
    signals.CALL_ESTIMATED_COST,  # streams without usage; the application asks for it
    signals.BATCH_CALLS,  # batches, of which it submits none
    signals.BUDGET_EXCEEDED,  # its budget is generous
    signals.BUDGET_UNCHECKED,  # a Redis that does not answer; it has none
    signals.DROPPED,  # what there is no room for
    signals.FALLBACKS,  # by chance: about one a minute
    signals.USED_CACHE_WRITE,  # what its provider caches it does not tell
}
PICTURE = ROOT / ".stack" / "incident.png"


def test_the_demo_ends_with_figures_that_agree_in_every_store(demonstration: Demonstration) -> None:
    rows = dict(
        re.findall(
            r"^ *(model calls|requests, as traces|cost in US dollars) +(.+)$", demonstration.output, re.MULTILINE
        )
    )
    calls = rows["model calls"].split()
    assert len(calls) == 5, "the provider's ledger and four stores"
    assert len(set(calls)) == 1
    assert int(calls[0].replace(",", "")) > 100
    assert len({round(float(dollars), 5) for dollars in rows["cost in US dollars"].split()}) == 1
    assert "all figures agree" in demonstration.output


def test_the_demo_gives_data_to_every_metric_that_ordinary_traffic_has(
    stack: Settings, demonstration: Demonstration
) -> None:
    prometheus = Prometheus(stack.prometheus_url)
    emitted = signals.emitted(chosen())
    names = f"({'|'.join(f'{metric.prometheus}(_count)?' for metric in emitted)})"
    series = f'{{__name__=~"{names}", job="demo"}}'
    found = {
        sample.labels["__name__"].removesuffix("_count")
        for sample in prometheus.query(f"group by (__name__) (last_over_time({series}[1h]))", at=demonstration.ended)
    }
    missing = {metric for metric in emitted if metric.prometheus not in found}
    assert missing <= NOT_IN_ORDINARY_TRAFFIC


def test_the_alert_reaches_the_inbox_within_a_minute_of_the_fault(demonstration: Demonstration) -> None:
    found = re.search(r"the alert GenAIErrorBurst arrived in the inbox (\d+) s after the fault", demonstration.output)
    assert found
    assert int(found[1]) <= 60


def test_the_fault_is_an_incident_that_shows_its_impact_in_a_browser(
    stack: Settings, demonstration: Demonstration
) -> None:
    with httpx.Client(base_url=stack.inbox_url, trust_env=False) as inbox:
        (incident,) = [each for each in inbox.get("/api/incidents").json() if "demo" in each["services"]]
        assert "GenAIErrorBurst" in incident["alerts"]
        assert incident["severity"] in ("SEV1", "SEV2")
        change = f"/api/incidents/{incident['id']}"
        state = {"state": "mitigating", "who": "Ann", "note": "all models switched to another provider"}
        inbox.post(f"{change}/state", json=state).raise_for_status()
        note = {"who": "Ann", "text": "the provider's status page says: errors on all models"}
        inbox.post(f"{change}/note", json=note).raise_for_status()
        impact = eventually(lambda: inbox.get(f"/incidents/{incident['id']}/impact").text)
        failed = re.search(r"<b>([\d,]+)</b> of ([\d,]+) calls failed", impact)
        assert failed
        assert 5 <= int(failed[1].replace(",", "")) < int(failed[2].replace(",", ""))
        page = f"{stack.inbox_url}/incidents/{incident['id']}"
        assert "switched to another provider" in rendered(page)
        screenshot(page, PICTURE, width=900, height=1500)
        assert PICTURE.stat().st_size > 30_000
