"""Attribution reaches the calls it is set around, and only those."""

import asyncio
import contextvars
import hmac
import inspect
import logging
import os
import pwd
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from pathlib import Path

import genai_observability
import openai
import pytest
from genai_observability import signals
from genai_observability._context import attribution as _attribution
from genai_observability._context import identity as _identity
from genai_observability._context.identity import user_hash
from opentelemetry import trace

from instrumentation.tests.recording import QUESTION, Recording


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_inner_values_win_and_outer_ones_stay_and_both_end_with_their_block() -> None:
    with genai_observability.attributed_to(feature="search", team="growth"):
        with genai_observability.attributed_to(feature="rerank"):
            assert _attribution.current() == {"app.feature": "rerank", "app.team": "growth"}
        assert _attribution.current() == {"app.feature": "search", "app.team": "growth"}
    assert _attribution.current() == {}


def test_a_block_left_by_an_exception_ends_its_attribution_and_lets_the_exception_through() -> None:
    with pytest.raises(KeyError), genai_observability.attributed_to(feature="search"):
        raise KeyError
    assert _attribution.current() == {}


def test_as_a_decorator_it_attributes_plain_and_async_functions() -> None:
    @genai_observability.attributed_to(feature="plain")
    def plain(value: int) -> tuple[int, object]:
        return value, _attribution.current()["app.feature"]

    @genai_observability.attributed_to(feature="async")
    async def coroutine(value: int) -> tuple[int, object]:
        await asyncio.sleep(0)
        return value, _attribution.current()["app.feature"]

    assert plain(1) == (1, "plain")
    assert asyncio.run(coroutine(2)) == (2, "async")
    assert plain.__name__ == "plain"


@genai_observability.attributed_to(feature="stream")
def features() -> Generator[object, str, str]:
    """Yields the attribution of its body, and what it is sent."""
    received = yield dict(_attribution.current())
    with genai_observability.attributed_to(team=received):
        try:
            yield dict(_attribution.current())
        except KeyError as error:
            yield error.args[0], dict(_attribution.current())
        yield dict(_attribution.current())
    return "the end"


@genai_observability.attributed_to(feature="stream")
async def async_features() -> AsyncGenerator[object, str]:
    received = yield dict(_attribution.current())
    with genai_observability.attributed_to(team=received):
        try:
            await asyncio.sleep(0)
            yield dict(_attribution.current())
        except KeyError as error:
            yield error.args[0], dict(_attribution.current())
        yield dict(_attribution.current())


STREAM = {"app.feature": "stream"}
INNER = {**STREAM, "app.team": "growth"}


def test_a_decorated_generator_has_its_attribution_in_its_body_and_its_consumer_never_sees_it() -> None:
    with genai_observability.attributed_to(session="s-1"):
        outside = _attribution.current()
        generator = features()
        assert next(generator) == {**STREAM, "session.id": "s-1"}
        assert _attribution.current() == outside
        assert generator.send("growth") == {**INNER, "session.id": "s-1"}
        assert generator.throw(KeyError("lost")) == ("lost", {**INNER, "session.id": "s-1"})
        assert _attribution.current() == outside
        next(generator)
        with pytest.raises(StopIteration) as end:
            next(generator)
        assert end.value.value == "the end"
        assert _attribution.current() == outside


def test_a_decorated_async_generator_has_its_attribution_in_its_body_and_its_consumer_never_sees_it() -> None:
    async def consume() -> None:
        with genai_observability.attributed_to(session="s-1"):
            outside = _attribution.current()
            generator = async_features()
            assert await anext(generator) == {**STREAM, "session.id": "s-1"}
            assert _attribution.current() == outside
            assert await generator.asend("growth") == {**INNER, "session.id": "s-1"}
            assert await generator.athrow(KeyError("lost")) == ("lost", {**INNER, "session.id": "s-1"})
            assert _attribution.current() == outside
            assert [each async for each in generator] == [{**INNER, "session.id": "s-1"}]
            assert _attribution.current() == outside

    asyncio.run(consume())


def test_two_decorated_generators_that_take_turns_keep_their_attribution_apart() -> None:
    @genai_observability.attributed_to(feature="one")
    def one() -> Iterator[object]:
        with genai_observability.attributed_to(session="1"):
            yield from (dict(_attribution.current()) for _ in range(3))

    @genai_observability.attributed_to(feature="two")
    def two() -> Iterator[object]:
        yield from (dict(_attribution.current()) for _ in range(3))

    pairs = list(zip(one(), two(), strict=True))
    assert pairs == [({"app.feature": "one", "session.id": "1"}, {"app.feature": "two"})] * 3
    assert _attribution.current() == {}


def test_a_decorated_generator_that_is_closed_early_is_closed_inside_its_attribution() -> None:
    seen: list[object] = []

    @genai_observability.attributed_to(feature="stream")
    def generate() -> Iterator[int]:
        try:
            yield 1
        finally:
            seen.append(dict(_attribution.current()))

    @genai_observability.attributed_to(feature="stream")
    async def generate_async() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            seen.append(dict(_attribution.current()))

    async def leave_midway() -> None:
        generator = generate_async()
        async for _ in generator:
            break
        await generator.aclose()  # type: ignore[attr-defined]
        assert _attribution.current() == {}

    for _ in generate():
        break
    asyncio.run(leave_midway())
    assert seen == [STREAM, STREAM]
    assert _attribution.current() == {}


def test_each_turn_of_a_decorated_generator_may_be_taken_in_another_context() -> None:
    async def in_tasks_of_their_own() -> list[object]:
        generator = async_features()
        turns: list[object] = [await asyncio.create_task(generator.asend(None), context=contextvars.Context())]  # type: ignore[arg-type]
        turns.append(await asyncio.create_task(generator.asend("growth"), context=contextvars.Context()))
        await asyncio.create_task(generator.aclose(), context=contextvars.Context())
        return turns

    generator = features()
    turns = [contextvars.Context().run(next, generator), contextvars.Context().run(generator.send, "growth")]
    assert turns == asyncio.run(in_tasks_of_their_own()) == [STREAM, INNER]
    contextvars.Context().run(generator.close)
    assert _attribution.current() == {}


def test_of_a_decorated_generator_nothing_but_its_attribution_is_changed() -> None:
    @genai_observability.attributed_to(feature="stream")
    def spans() -> Iterator[trace.Span]:
        yield trace.get_current_span()
        yield trace.get_current_span()

    generator = spans()
    for number in (1, 2):
        context = trace.SpanContext(1, number, is_remote=False)
        with trace.use_span(trace.NonRecordingSpan(context)) as span:
            assert next(generator) is span


def test_a_decorated_generator_is_to_inspection_what_it_was() -> None:
    assert inspect.isgeneratorfunction(features)
    assert inspect.isasyncgenfunction(async_features)
    assert async_features.__name__ == "async_features"


def test_a_decorated_generator_raises_what_its_body_raises() -> None:
    @genai_observability.attributed_to(feature="stream")
    def broken() -> Iterator[int]:
        yield 1
        raise KeyError("lost")

    generator = broken()
    assert next(generator) == 1
    with pytest.raises(KeyError, match="lost"):
        next(generator)
    assert _attribution.current() == {}


def test_concurrent_calls_of_one_decorated_function_do_not_mix() -> None:
    @genai_observability.attributed_to(feature="shared")
    async def work(session: str) -> object:
        with genai_observability.attributed_to(session=session):
            await asyncio.sleep(0.01)
            return _attribution.current()["session.id"]

    async def all_of_them() -> list[object]:
        return await asyncio.gather(*(work(str(number)) for number in range(20)))

    assert asyncio.run(all_of_them()) == [str(number) for number in range(20)]


def test_a_generator_closed_in_another_context_ends_without_an_error() -> None:
    async def stream() -> AsyncIterator[int]:
        with genai_observability.attributed_to(feature="stream"):
            yield 1
            yield 2

    async def close_elsewhere() -> None:
        generator = stream()
        await anext(generator)
        await asyncio.create_task(generator.aclose(), context=contextvars.Context())  # type: ignore[attr-defined]

    asyncio.run(close_elsewhere())


def test_a_user_is_recorded_as_a_keyed_hash_and_never_as_given(client: openai.OpenAI, recording: Recording) -> None:
    with genai_observability.attributed_to(user="alice@example.com"):
        client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
    assert recording.record[signals.USER_HASH.name] == user_hash("alice@example.com")
    assert len(user_hash("alice@example.com")) == 64
    assert "alice" not in repr(recording.records) + repr([span.to_json() for span in recording.spans])


def test_users_and_sessions_are_never_metric_labels(client: openai.OpenAI, recording: Recording) -> None:
    with genai_observability.attributed_to(user="alice", session="s-1", feature="search", metadata={"order": 7}):
        client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
    (duration,) = recording.points(signals.CALL_DURATION.name)
    assert duration.labels[signals.FEATURE.name] == "search"
    assert not {signals.USER_HASH.name, signals.SESSION.name, "app.metadata.order"} & set(duration.labels)
    assert recording.record["app.metadata.order"] == 7


@pytest.mark.parametrize(
    "value", [object(), Unprintable(), {"a": 1}, [1], b"bytes", 10**40, float("nan"), "x" * 10_000]
)
def test_metadata_of_any_kind_is_kept_short_and_never_breaks_the_call(
    client: openai.OpenAI, recording: Recording, value: object
) -> None:
    with genai_observability.attributed_to(metadata={"anything": value, "nothing": None}):
        client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
    assert len(str(recording.record["app.metadata.anything"])) <= 200


def test_metadata_beyond_twenty_values_is_left_out() -> None:
    with genai_observability.attributed_to(metadata={str(number): number for number in range(10_000)}):
        assert len(_attribution.current()) == 20


def test_attribution_values_that_are_no_text_become_text() -> None:
    with genai_observability.attributed_to(feature=7, team=Unprintable()):  # type: ignore[arg-type]
        assert _attribution.current() == {"app.feature": "7", "app.team": "unprintable"}


@pytest.fixture
def fresh_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No key is configured, and none was loaded; the configuration directory is empty."""
    monkeypatch.delenv(_identity.KEY_VARIABLE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    _forget()
    return tmp_path / "genai-observability" / "user.key"


@pytest.fixture(autouse=True)
def _forget_the_key() -> Iterator[None]:
    _forget()
    yield
    _forget()


def _forget() -> None:
    user_hash.cache_clear()
    _identity._key.cache_clear()


def test_without_a_key_one_is_made_once_for_this_account_only_and_said_once(
    fresh_key: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = user_hash("alice")
    _forget()
    assert user_hash("alice") == first
    assert stat.S_IMODE(fresh_key.stat().st_mode) == 0o600
    assert [path.name for path in fresh_key.parent.iterdir()] == ["user.key"]
    (warning,) = caplog.messages
    assert "GENAI_OBSERVABILITY_USER_KEY_FILE" in warning


def test_the_same_key_gives_the_same_hash_on_every_host(fresh_key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = fresh_key.parent.parent / "common.key"
    key.write_text("shared between hosts\n")
    monkeypatch.setenv(_identity.KEY_FILE_VARIABLE, str(key))
    # echo -n alice | openssl dgst -sha256 -hmac "shared between hosts"
    assert user_hash("alice") == "cea3dff1b967de6284e9d2a7611720ab224ec97ec81b54a2e01e33b83301e3bd"
    assert not fresh_key.exists()


@pytest.mark.parametrize("content", [None, ""])
def test_a_key_file_that_cannot_be_used_is_named_and_users_are_still_hashed(
    fresh_key: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, content: str | None
) -> None:
    key = fresh_key.parent.parent / "missing.key"
    if content is not None:
        key.write_text(content)
    monkeypatch.setenv(_identity.KEY_FILE_VARIABLE, str(key))
    with caplog.at_level(logging.WARNING):
        assert len(user_hash("alice")) == 64
    assert str(key) in caplog.text


def test_a_configuration_directory_that_cannot_be_written_costs_only_a_warning(
    fresh_key: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fresh_key.parent.write_text("a file where the directory should be")
    assert len(user_hash("alice")) == 64
    assert "lasts only for this process" in caplog.text


def test_an_application_without_a_home_goes_on_with_a_key_for_this_process(
    fresh_key: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with genai_observability.attributed_to(user="alice"), genai_observability.attributed_to(user="bob"):
        assert len(user_hash("alice")) == 64
    (warning,) = caplog.messages
    assert "lasts only for this process: there is no home directory" in warning


def test_a_key_that_is_no_text_is_used_as_it_is(fresh_key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environb, _identity.KEY_VARIABLE.encode(), b"\xff\xfe")
    assert user_hash("alice") == hmac.new(b"\xff\xfe", b"alice", "sha256").hexdigest()
