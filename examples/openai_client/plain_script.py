"""A script that asks a few questions: two lines record every call that it makes."""

import genai_observability
import openai

QUESTIONS = ("How long is the return period?", "Do you ship to Norway?")

genai_observability.instrument(service_name="faq")
client = openai.OpenAI()


@genai_observability.attributed_to(feature="faq", team="support")
def answer(question: str) -> str:
    completion = client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": question}], max_tokens=200
    )
    return completion.choices[0].message.content or ""


for question in QUESTIONS:
    print(f"{question}\n{answer(question)}\n")
