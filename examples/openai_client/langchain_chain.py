"""A LangChain chain with a retriever: every call of a model inside it is recorded, all of them as one trace."""

import genai_observability
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from opentelemetry import trace

PASSAGES = [
    "Returns are accepted within 30 days.",
    "We ship to all of Europe within 5 days.",
    "The warranty of every kettle is two years.",
]

genai_observability.instrument(service_name="assistant")
tracer = trace.get_tracer("assistant")


def joined(documents: list[Document]) -> str:
    return "\n".join(document.page_content for document in documents)


# check_embedding_ctx_length=False: short texts are sent as they are, and no tokeniser is downloaded.
embeddings = OpenAIEmbeddings(model="text-embedding-3-small", check_embedding_ctx_length=False)
prompt = ChatPromptTemplate.from_template("Answer from these passages:\n{passages}\n\nQuestion: {question}")
model = ChatOpenAI(model="gpt-4o-mini", stream_usage=True)  # streams report their tokens too

with (
    genai_observability.attributed_to(feature="assistant", team="support", prompt_name="answer", prompt_version="1"),
    tracer.start_as_current_span("answer from passages"),
):
    retriever = InMemoryVectorStore.from_texts(PASSAGES, embeddings).as_retriever(search_kwargs={"k": 2})
    chain = {"passages": retriever | joined, "question": RunnablePassthrough()} | prompt | model | StrOutputParser()
    print(chain.invoke("How long is the return period?"))
    for piece in chain.stream("Do you ship to Norway?"):
        print(piece, end="", flush=True)
print()
