"""The calls of Celery's workers, which are forked beforehand and end without Python's end."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from instrumentation.tests.otlp_capture import Capture
from instrumentation.tests.programs import CLIENT, COMMAND, calls_by_instance, eventually

CELERY = str(Path(sys.executable).with_name("celery"))

TASKS = """
import celery, celery.signals, logging
app = celery.Celery("shop", broker="filesystem://", broker_connection_retry_on_startup=True)
queue = dict.fromkeys(("data_folder_in", "data_folder_out", "control_folder"), "queue")
app.conf.broker_transport_options = {**queue, "polling_interval": 0.05}
@celery.signals.worker_ready.connect
def send(**_):
    answer.delay(); answer.delay()
@app.task
def answer():
    ask()
    logging.getLogger("shop").warning("answered")
    open(f"answered.{answer.request.id}", "x").close()
"""
LAZY = "def ask():\n" + "".join(f"    {line}\n" for line in (CLIENT + "return ask()").splitlines() if line) + TASKS


@contextmanager
def worker(environment: dict[str, str], folder: Path, *options: str, tasks: str = CLIENT + TASKS) -> Iterator[None]:
    """A worker that has done two tasks; stopped afterwards as a service is."""
    (folder / "queue").mkdir()
    (folder / "tasks.py").write_text(tasks)
    command = [COMMAND, "run", CELERY, "--app=tasks", "worker", "--concurrency=2", "--without-mingle", *options]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        assert eventually(lambda: len(list(folder.glob("answered.*"))) == 2), (folder / "log").read_text()
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0, (folder / "log").read_text()
    finally:
        process.kill()
        process.wait()


def test_calls_arrive_while_the_worker_runs_and_when_it_stops(
    environment: dict[str, str], tmp_path: Path, capture: Capture
) -> None:
    settings = {
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
        "OTEL_BSP_SCHEDULE_DELAY": "60000",
        "OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION": "true",
    }
    with worker(environment | settings, tmp_path):
        assert eventually(lambda: sum(calls_by_instance(capture).values()) == 2)
        assert capture.spans == []
    assert len(capture.spans) == 2
    assert sum(calls_by_instance(capture).values()) == 2
    assert [record.body.string_value for record in capture.records].count("answered") == 2


def test_children_that_end_after_one_task_deliver_its_call(
    environment: dict[str, str], tmp_path: Path, capture: Capture
) -> None:
    """Each of them imports the client, and so begins to record, in its task."""
    with worker(environment, tmp_path, "--max-tasks-per-child=1", tasks=LAZY):
        assert eventually(lambda: len(capture.spans) == 2)
    assert len(capture.spans) == 2
    assert {resource["service.name"] for resource in capture.resources} == {"celery"}
