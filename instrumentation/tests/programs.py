"""Programs that call the provider, run as processes of their own."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from genai_observability import signals

from instrumentation.tests.otlp_capture import Capture

COMMAND = str(Path(sys.executable).with_name("genai-observability"))
OPENTELEMETRY = str(Path(sys.executable).with_name("opentelemetry-instrument"))

CLIENT = """
import os, sys, warnings
import openai
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later dislike any fork beside threads
def ask(model="gpt-4o-mini"):  # with a connection of its own: none may be shared over a fork
    with openai.OpenAI(base_url=os.environ["PROVIDER"] + "/v1", api_key="test", max_retries=0) as client:
        return client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Why?"}])
"""
INSTRUMENT = "import genai_observability; handle = genai_observability.instrument(service_name='shop')\n"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def calls_by_instance(capture: Capture) -> dict[str, float]:
    """The latest count of calls that each instance said it has made."""
    return {
        instance: sum(point.count for metric in metrics for point in metric.histogram.data_points)
        for instance, metrics in capture.metrics_by_instance(signals.CALL_DURATION.name).items()
    }


def eventually(true: Callable[[], bool], *, within: float = 40.0) -> bool:
    """Whether it becomes true within so many seconds."""
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
