"""Attribution reaches the calls it is set around, and only those."""

import asyncio
import contextvars
import logging
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import genai_observability
import openai
import pytest
from genai_observability import _attribution, _identity, signals
from genai_observability._identity import user_hash

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


def test_a_decorated_generator_is_refused_where_it_is_written_and_not_left_without_attribution() -> None:
    def plain() -> Iterator[int]:
        yield 1

    async def asynchronous() -> AsyncIterator[int]:
        yield 1

    for generator in (plain, asynchronous):
        with pytest.raises(TypeError, match="is a generator: use `with attributed_to"):
            genai_observability.attributed_to(feature="stream")(generator)


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
