"""What an application asks of every API, in one wording for the plain and the asynchronous client, and what it sees."""

import asyncio
import inspect
import re
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import openai
from openai import AsyncStream, Stream
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

Talk = Callable[[Any], Awaitable[Any]]
"""A conversation: takes a client, plain or asynchronous, and gives all that the application saw."""


def run(conversation: Coroutine[Any, Any, Any]) -> Any:
    """Run a conversation with the plain client, which never waits for an event loop."""
    try:
        conversation.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("The plain client waited.")


async def now(value: Any) -> Any:
    """A value, awaited where the client is asynchronous."""
    return await value if inspect.isawaitable(value) else value


async def all_of(stream: Any) -> list[Any]:
    """Every item of a stream."""
    return [item async for item in stream] if hasattr(stream, "__aiter__") else list(stream)


@asynccontextmanager
async def opened(manager: Any) -> AsyncIterator[Any]:
    """What a context manager of either client gives."""
    if type(manager).__name__.startswith("Async"):  # the wrappers have the methods of both
        async with manager as value:
            yield value
    else:
        with manager as value:
            yield value


async def read(stream: Any) -> list[Any]:
    """All of a stream of the client, with what else can be seen of it."""
    return [isinstance(stream, (Stream, AsyncStream)), stream.response.status_code, await all_of(stream)]


async def read_in_pieces(stream: Any) -> list[Any]:
    """One item of a stream, two in a loop that is left early, and the rest."""
    some = []
    if hasattr(stream, "__aiter__"):
        first = await anext(stream)
        async for item in stream:
            some.append(item)
            if len(some) == 2:
                break
    else:
        first = next(stream)
        for item in stream:
            some.append(item)
            if len(some) == 2:
                break
    return [first, some, await all_of(stream)]


def attempt(talk: Talk) -> Talk:
    """The same conversation, which ends in an error that the application catches."""

    async def attempting(client: Any) -> Any:
        try:
            return await talk(client)
        except Exception as error:
            return error

    return attempting


_NEW: "re.Pattern[str]" = re.compile(r"\b(msg|resp|call|rs|ws|fc|req|modr|chatcmpl|gen)[-_][\w-]{12,}")
_HEADERS = ("content-type", "retry-after", "openai-processing-ms")


def seen(value: Any) -> Any:
    """All that an application can see of a value, but what the provider makes anew each time."""
    if isinstance(value, str):
        return _NEW.sub(r"\1", value)
    if isinstance(value, BaseModel):
        return {
            "class": type(value).__name__,
            **seen(value.model_dump(by_alias=True, exclude_unset=True, warnings=False)),
        }
    if isinstance(value, dict):
        return {name: seen(each) for name, each in value.items() if name not in ("created", "created_at")}
    if isinstance(value, (list, tuple)):
        return [seen(each) for each in value]
    if isinstance(value, openai.APIStatusError):
        headers = {name: value.response.headers.get(name) for name in _HEADERS}
        return [type(value), str(value), value.status_code, value.body, value.code, value.type, value.param, headers]
    if isinstance(value, Exception):
        return [type(value), str(value), type(value.__cause__)]
    if isinstance(value, (Stream, AsyncStream)):
        return [value.response.status_code, value.response.headers.get("content-type")]
    if hasattr(value, "http_response"):  # of a raw answer
        return [type(value).__name__, value.http_response.status_code, value.http_response.headers.get("content-type")]
    return value


def converse(talk: Talk, url: str, *, asynchronous: bool, azure: bool = False) -> Any:
    """Have a conversation through a new client; all that the application saw."""
    common: dict[str, Any] = {"api_key": "test", "max_retries": 0}
    where: dict[str, Any] = {"azure_endpoint": url, "api_version": "2024-10-21"} if azure else {"base_url": f"{url}/v1"}

    async def with_async_client() -> Any:
        async with (openai.AsyncAzureOpenAI if azure else openai.AsyncOpenAI)(**common, **where) as client:
            return await talk(client)

    async def with_client() -> Any:
        with (openai.AzureOpenAI if azure else openai.OpenAI)(**common, **where) as client:
            return await talk(client)

    return seen(asyncio.run(with_async_client()) if asynchronous else run(with_client()))


MODEL = "gpt-4o-mini"


def messages(question: str) -> list[ChatCompletionMessageParam]:
    """A question as a chat."""
    return [{"role": "user", "content": question}]


class Weather(BaseModel):
    """What a structured answer is parsed to."""

    city: str
    degrees: int


TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


async def chat(client: Any) -> Any:
    return await now(client.chat.completions.create(model=MODEL, messages=messages("greet me"), temperature=0.5))


async def chat_streamed(client: Any) -> Any:
    return await read(
        await now(
            client.chat.completions.create(
                model=MODEL, messages=messages("greet me"), stream=True, stream_options={"include_usage": True}
            )
        )
    )


async def chat_streamed_in_pieces(client: Any) -> Any:
    return await read_in_pieces(
        await now(client.chat.completions.create(model=MODEL, messages=messages("greet me"), stream=True))
    )


async def chat_streamed_without_usage(client: Any) -> Any:
    stream = await now(client.chat.completions.create(model=MODEL, messages=messages("greet me"), stream=True))
    return await read(stream)


async def chat_parsed(client: Any) -> Any:
    answer = await now(
        client.chat.completions.parse(model=MODEL, messages=messages("weather as JSON"), response_format=Weather)
    )
    return [answer, answer.choices[0].message.parsed]


async def chat_with_tools(client: Any) -> Any:
    first = await now(client.chat.completions.create(model=MODEL, messages=messages("weather by a tool"), tools=[TOOL]))
    return [first, first.choices[0].message.tool_calls]


async def chat_with_tools_streamed(client: Any) -> Any:
    stream = await now(
        client.chat.completions.create(
            model=MODEL,
            messages=messages("weather by a tool"),
            tools=[TOOL],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    return await read(stream)


async def chat_raw(client: Any) -> Any:
    raw = await now(client.chat.completions.with_raw_response.create(model=MODEL, messages=messages("greet me")))
    return [raw, raw.parse(), raw.text, raw.retries_taken]


async def chat_raw_streamed(client: Any) -> Any:
    raw = await now(
        client.chat.completions.with_raw_response.create(
            model=MODEL, messages=messages("greet me"), stream=True, stream_options={"include_usage": True}
        )
    )
    return [raw.headers["content-type"], await all_of(raw.parse())]


async def chat_streaming_response(client: Any) -> Any:
    manager = client.chat.completions.with_streaming_response.create(model=MODEL, messages=messages("greet me"))
    async with opened(manager) as answer:
        return [answer.status_code, await now(answer.parse()), await now(answer.read())]


async def chat_lines(client: Any) -> Any:
    manager = client.chat.completions.with_streaming_response.create(
        model=MODEL, messages=messages("greet me"), stream=True
    )
    async with opened(manager) as answer:
        return await all_of(answer.iter_lines())


async def chat_stream_helper(client: Any) -> Any:
    manager = client.chat.completions.stream(
        model=MODEL, messages=messages("greet me"), stream_options={"include_usage": True}
    )
    async with opened(manager) as stream:
        events = await all_of(stream)
        return [events, await now(stream.get_final_completion())]


async def chat_filtered(client: Any) -> Any:
    return await now(client.chat.completions.create(model=MODEL, messages=messages("say what is filtered")))


async def chat_broken(client: Any) -> Any:
    stream = await now(client.chat.completions.create(model=MODEL, messages=messages("break off"), stream=True))
    return await all_of(stream)


async def chat_too_often(client: Any) -> Any:
    return await now(client.chat.completions.create(model=MODEL, messages=messages("too often")))


async def responses(client: Any) -> Any:
    answer = await now(client.responses.create(model=MODEL, input="greet me"))
    return [answer, answer.output_text]


async def responses_streamed(client: Any) -> Any:
    return await read(await now(client.responses.create(model=MODEL, input="greet me", stream=True)))


async def responses_streamed_in_pieces(client: Any) -> Any:
    return await read_in_pieces(await now(client.responses.create(model=MODEL, input="greet me", stream=True)))


async def responses_parsed(client: Any) -> Any:
    answer = await now(client.responses.parse(model=MODEL, input="weather as JSON", text_format=Weather))
    return [answer, answer.output_parsed]


async def responses_stream_helper(client: Any) -> Any:
    async with opened(client.responses.stream(model=MODEL, input="greet me")) as stream:
        events = await all_of(stream)
        return [events, await now(stream.get_final_response())]


async def responses_raw(client: Any) -> Any:
    raw = await now(client.responses.with_raw_response.create(model=MODEL, input="greet me"))
    return [raw, raw.parse()]


async def responses_with_searches(client: Any) -> Any:
    return await now(client.responses.create(model=MODEL, input="search the web", tools=[{"type": "web_search"}]))


async def responses_with_searches_streamed(client: Any) -> Any:
    stream = await now(
        client.responses.create(model=MODEL, input="search the web", tools=[{"type": "web_search"}], stream=True)
    )
    return await read(stream)


async def embeddings(client: Any) -> Any:
    return await now(client.embeddings.create(model="text-embedding-3-small", input=["a trace", "a span"]))


async def images(client: Any) -> Any:
    return await now(client.images.generate(model="gpt-image-1", prompt="a trace", n=2))


async def image_edited(client: Any) -> Any:
    return await now(client.images.edit(model="gpt-image-1", image=("a.png", b"picture"), prompt="as a trace"))


async def images_streamed(client: Any) -> Any:
    stream = await now(client.images.generate(model="gpt-image-1", prompt="a trace", stream=True, partial_images=1))
    return await read(stream)


async def speech(client: Any) -> Any:
    answer = await now(client.audio.speech.create(model="tts-1", voice="alloy", input="What is a trace?"))
    return [type(answer), answer.content]


async def speech_streaming_response(client: Any) -> Any:
    manager = client.audio.speech.with_streaming_response.create(model="tts-1", voice="alloy", input="Yes.")
    async with opened(manager) as answer:
        return b"".join(await all_of(answer.iter_bytes()))


def transcription(response_format: str, model: str = "whisper-1") -> Talk:
    async def transcribing(client: Any) -> Any:
        return await now(
            client.audio.transcriptions.create(model=model, file=("a.mp3", b"sound"), response_format=response_format)
        )

    return transcribing


async def transcription_streamed(client: Any) -> Any:
    stream = await now(
        client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.mp3", b"sound"), stream=True)
    )
    return await read(stream)


async def translation(client: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the client
        return await now(client.audio.translations.create(model="whisper-1", file=("a.mp3", b"sound")))


async def moderation(client: Any) -> Any:
    return await now(client.moderations.create(model="omni-moderation-latest", input="What is a trace?"))


async def completion(client: Any) -> Any:
    return await now(client.completions.create(model="gpt-3.5-turbo-instruct", prompt="A trace is", max_tokens=40))


async def completion_streamed(client: Any) -> Any:
    stream = await now(
        client.completions.create(
            model="gpt-3.5-turbo-instruct",
            prompt="A trace is",
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    return await read(stream)
