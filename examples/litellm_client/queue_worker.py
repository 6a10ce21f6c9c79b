"""A worker: threads take jobs, one JSON object a line, from a queue; each job says whom its model calls are for."""

import json
import logging
import queue
import signal
import sys
import threading
from dataclasses import dataclass

import genai_observability
import litellm

log = logging.getLogger("worker")

genai_observability.instrument(service_name="worker", logs=True)


@dataclass(frozen=True)
class Job:
    """The user travels with the job, as a thread knows nothing of where the job came from."""

    id: str
    user: str
    text: str


def work(jobs: queue.Queue[Job | None]) -> None:
    while job := jobs.get():
        with genai_observability.attributed_to(feature="summaries", team="content", user=job.user, request=job.id):
            try:
                print(f"{job.id}: {summary(job.text)}")
            except Exception:
                log.exception("%s failed", job.id)  # printed, and sent to the stack; the next job goes on


def summary(text: str) -> str:
    completion = litellm.completion(
        model="openai/gpt-4o-mini", messages=[{"role": "user", "content": f"Summarise in a sentence: {text}"}]
    )
    return completion.choices[0].message.content or ""


jobs: queue.Queue[Job | None] = queue.Queue(maxsize=100)
threads = [threading.Thread(target=work, args=(jobs,)) for _ in range(4)]
for thread in threads:
    thread.start()

signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM ends it as Ctrl-C does
try:
    for line in sys.stdin:
        jobs.put(Job(**json.loads(line)))
except KeyboardInterrupt:
    print("No more jobs are taken; those taken are finished.", file=sys.stderr)
finally:
    for _ in threads:
        jobs.put(None)
    for thread in threads:
        thread.join()
