"""An application with another instrumentation besides, by name: calls of the provider at the given address.

Its feature is the name, so that the calls and spans are found by it.
"""

import asyncio
import contextlib
import importlib
import sys
from typing import Any

import genai_observability

MODEL = "gpt-4o-mini"
EMBEDDING_MODEL = "text-embedding-3-small"
TEXT = "What is a trace?"
REFUSED = {"x-demo-fault": "bad_request"}


def instrument(module: str, instrumentor: str) -> None:
    """Start another instrumentation, as its own page says."""
    getattr(importlib.import_module(module), instrumentor)().instrument()


def of_openai(url: str) -> None:
    """Five calls of OpenAI's client, of which one is refused."""
    openai = importlib.import_module("openai")
    client = openai.OpenAI(base_url=url, api_key="test", max_retries=0)
    question = [{"role": "user", "content": TEXT}]
    client.chat.completions.create(model=MODEL, messages=question)
    list(client.chat.completions.create(model=MODEL, messages=question, stream=True))
    client.chat.completions.with_raw_response.create(model=MODEL, messages=question)
    client.embeddings.create(model=EMBEDDING_MODEL, input=TEXT)
    with contextlib.suppress(openai.BadRequestError):
        client.chat.completions.create(model=MODEL, messages=question, extra_headers=REFUSED)


def of_langchain(url: str) -> None:
    """Five calls of LangChain's model, of which one is refused."""
    langchain: Any = importlib.import_module("langchain_openai")
    options = {"model": MODEL, "base_url": url, "api_key": "test", "max_retries": 0}
    model = langchain.ChatOpenAI(**options)
    model.invoke(TEXT)
    list(model.stream(TEXT))
    langchain.OpenAIEmbeddings(**options | {"model": EMBEDDING_MODEL}, check_embedding_ctx_length=False).embed_query(
        TEXT
    )

    async def both() -> None:
        await asyncio.gather(model.ainvoke(TEXT), model.ainvoke(TEXT))

    asyncio.run(both())
    with contextlib.suppress(ValueError, importlib.import_module("openai").BadRequestError):
        langchain.ChatOpenAI(**options, default_headers=REFUSED).invoke(TEXT)


OPENLLMETRY = ("opentelemetry.instrumentation.openai", "OpenAIInstrumentor")


def main(name: str, url: str) -> None:
    """Record the calls with another instrumentation inside of this package's, or around it."""
    if name == "inside":
        instrument(*OPENLLMETRY)
    genai_observability.instrument(service_name="others")
    with genai_observability.attributed_to(feature=name):
        if name == "inside":
            of_openai(url)
        elif name == "around":
            instrument(*OPENLLMETRY)
            of_openai(url)
        elif name == "openinference":
            instrument("openinference.instrumentation.openai", "OpenAIInstrumentor")
            of_openai(url)
        elif name == "langchain":
            instrument("opentelemetry.instrumentation.langchain", "LangchainInstrumentor")
            of_langchain(url)


if __name__ == "__main__":
    main(*sys.argv[1:])
