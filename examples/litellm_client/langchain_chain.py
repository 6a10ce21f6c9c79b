"""A LangChain chain with a retriever: every call of the model is recorded, those of one chain as one trace."""

import genai_observability
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_litellm import ChatLiteLLM
from opentelemetry import trace

PASSAGES = [
    "Returns are accepted within 30 days.",
    "We ship to all of Europe within 5 days.",
    "The warranty of every kettle is two years.",
]

genai_observability.instrument(service_name="assistant")
tracer = trace.get_tracer("assistant")


def retrieve(question: str) -> str:
    """The two passages with the most words of the question."""
    words = set(question.lower().split())
    return "\n".join(sorted(PASSAGES, key=lambda passage: -len(words & set(passage.lower().split())))[:2])


prompt = ChatPromptTemplate.from_template("Answer from these passages:\n{passages}\n\nQuestion: {question}")
model = ChatLiteLLM(model="openai/gpt-4o-mini")
chain = {"passages": retrieve, "question": RunnablePassthrough()} | prompt | model | StrOutputParser()

with (
    genai_observability.attributed_to(feature="assistant", team="support", prompt_name="answer", prompt_version="1"),
    tracer.start_as_current_span("answer from passages"),
):
    print(chain.invoke("How long is the return period?"))
    for piece in chain.stream("Do you ship to Norway?"):
        print(piece, end="", flush=True)
print()
