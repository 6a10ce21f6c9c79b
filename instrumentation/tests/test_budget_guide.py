"""The examples of docs/budgets.md run as they are."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from instrumentation.tests.redis_server import RedisServer

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "budgets.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
USED_UP = "Please tell the tenant acme: The budget of 4 requests a month for tenant acme is used up: 4 requests spent"
OUTPUTS = [r".+\n", rf"{USED_UP}.+\ncall 7 was refused\n", r""]


@pytest.mark.parametrize(("example", "output"), list(zip(EXAMPLES, OUTPUTS, strict=True)))
def test_an_example_of_the_guide_runs(example: str, output: str, provider: str, tmp_path: Path) -> None:
    with RedisServer(tmp_path) as redis_server:
        environment = os.environ | {
            "OPENAI_BASE_URL": f"{provider}/v1",
            "OPENAI_API_KEY": "test",
            "REDIS_URL": redis_server.url,
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
        }
        done = subprocess.run(
            [sys.executable, "-c", example], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(output, done.stdout), done.stdout
        assert "Traceback" not in done.stderr
        accounts = redis_server.accounts()
        assert [0 < account["total"] < 5 for account in accounts.values()] == ([True] if "REDIS_URL" in example else [])
