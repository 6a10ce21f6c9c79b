"""LangChain's model and embeddings of OpenAI, also with OpenTelemetry's spans of chains and tools."""

import asyncio

import genai_observability
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor
from opentelemetry.metrics import NoOpMeterProvider

from instrumentation.clients.programs import MODEL, QUESTION, known

model = ChatOpenAI(model=MODEL)
chain = ChatPromptTemplate.from_template("{question}") | model


async def asynchronous_calls() -> None:
    """The same, asynchronously."""
    with known("async"):
        await model.ainvoke(QUESTION)
    with known("async, streamed"):
        async for _ in model.astream(QUESTION):
            pass


if __name__ == "__main__":
    genai_observability.instrument(service_name="clients")
    with known("plain"):
        model.invoke(QUESTION)
    with known("streamed"):
        list(model.stream(QUESTION))
    with known("embeddings"):
        OpenAIEmbeddings(model="text-embedding-3-small", check_embedding_ctx_length=False).embed_query(QUESTION)
    asyncio.run(asynchronous_calls())
    LangChainInstrumentor().instrument(meter_provider=NoOpMeterProvider())
    with known("instrumented"):
        chain.invoke({"question": QUESTION})
    with known("instrumented, streamed"):
        list(chain.stream({"question": QUESTION}))
