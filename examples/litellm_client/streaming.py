"""An answer shown while it is written: time to first token, tokens and cost are recorded once the stream ends."""

import genai_observability
import litellm

genai_observability.instrument(service_name="chat")

with genai_observability.attributed_to(feature="chat", team="support", user="alice@example.com", conversation="c-1"):
    stream = litellm.completion(
        model="openai/gpt-4o-mini",
        messages=[{"role": "user", "content": "How long is the return period?"}],
        stream=True,
        stream_options={"include_usage": True},  # tokens, and so the cost, come with the last chunk
    )
    for chunk in stream:
        for choice in chunk.choices:  # none in the last chunk
            print(choice.delta.content or "", end="", flush=True)
print()

# What the reader says of the answer, joined to the call by the answer's id.
genai_observability.feedback("up", response_id=chunk.id)
