"""Prometheus has the servers' metrics that rules and runbooks name, and not those that nothing asks for."""

import pytest

from stack.clients import Prometheus
from stack.settings import Settings
from tests.end_to_end.live import Demonstration, eventually
from tests.server_metrics import METRICS_OF_SERVERS, ON_ANOTHER_DISK, ON_FAILURE


@pytest.mark.parametrize("server", sorted(set(METRICS_OF_SERVERS) - {"loki", "tempo"}))
def test_prometheus_has_the_metrics_of_a_server_that_rules_name(
    server: str, stack: Settings, demonstration: Demonstration
) -> None:
    assert demonstration.output  # the Collector counts a signal once it has had some of it

    def missing() -> set[str]:
        found = Prometheus(stack.prometheus_url).query(f'count by (__name__) ({{job="{server}"}})')
        present = {each.labels["__name__"] for each in found}
        return METRICS_OF_SERVERS[server] - ON_FAILURE - ON_ANOTHER_DISK - present

    eventually(lambda: not missing())
    assert missing() == set()


def test_prometheus_keeps_no_flags_go_runtimes_and_buckets_of_servers(
    stack: Settings, demonstration: Demonstration
) -> None:
    assert demonstration.output
    unasked = '{job=~"alertmanager|prometheus|victorialogs", __name__=~"flag|go_.+|vm_.+|.+_bucket"}'
    assert Prometheus(stack.prometheus_url).query(unasked) == []
