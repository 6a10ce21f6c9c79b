"""The servers have the metrics that rules and runbooks name."""

import re

import httpx
import pytest

from stack.native.servers import metrics_addresses
from stack.settings import Settings
from tests.end_to_end.live import Demonstration, eventually
from tests.server_metrics import METRICS_OF_SERVERS, ON_ANOTHER_DISK, ON_FAILURE


@pytest.mark.parametrize("server", sorted(set(METRICS_OF_SERVERS) - {"loki", "tempo"}))
def test_a_server_has_the_metrics_that_rules_name(server: str, stack: Settings, demonstration: Demonstration) -> None:
    assert demonstration.output  # the Collector counts a signal once it has had some of it
    address = f"http://{metrics_addresses(stack)[server]}/metrics"

    def missing() -> set[str]:
        present = set(re.findall(r"^(\w+)", httpx.get(address).text, flags=re.MULTILINE))
        return METRICS_OF_SERVERS[server] - ON_FAILURE - ON_ANOTHER_DISK - present

    eventually(lambda: not missing())
    assert missing() == set()
