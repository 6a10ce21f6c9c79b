"""Two known calls, as the programs of ``make clients`` make them, and what its test wants to be found.

``SPOILED`` is ``raises`` for a third one that fails, ``twice`` for a metric that another instrumentation
records too, ``unknown`` for a call besides the known ones.
"""

import os

import genai_observability
import openai
from openai.types.chat import ChatCompletionMessageParam
from opentelemetry import metrics

from instrumentation.clients.programs import MODEL, QUESTION, known

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]

if __name__ == "__main__":
    spoiled = os.environ.get("SPOILED")
    genai_observability.instrument(service_name="clients")
    chat = openai.OpenAI().chat.completions
    with known("plain"):
        chat.create(model=MODEL, messages=MESSAGES)
    with known("streamed"):
        list(chat.create(model=MODEL, messages=MESSAGES, stream=True))
    if spoiled == "raises":
        with known("failing"):
            raise LookupError("no such model")
    elif spoiled == "twice":
        metrics.get_meter("another").create_histogram("gen_ai.client.operation.duration").record(1)
    elif spoiled == "unknown":
        chat.create(model=MODEL, messages=MESSAGES)
