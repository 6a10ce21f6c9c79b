"""The sample application's fallback: who is asked when a model refuses."""

import asyncio

import httpx2
import openai
import pytest

from demo.app.fallback import Fallback


class Models:
    """Two models, of which the first may refuse."""

    def __init__(self) -> None:
        self.refusing = True
        self.asked: list[str] = []

    async def __call__(self, model: str) -> str:
        self.asked.append(model)
        if model == "first" and self.refusing:
            response = httpx2.Response(429, request=httpx2.Request("POST", "http://127.0.0.1/"))
            raise openai.RateLimitError("Rate limit reached.", response=response, body=None)
        return model


def asked(fallback: Fallback, models: Models) -> list[str]:
    """Which models one call asks."""
    models.asked.clear()
    assert asyncio.run(fallback.ask(models)) == models.asked[-1]
    return list(models.asked)


def test_another_model_answers_where_the_first_refuses() -> None:
    assert asked(Fallback("first", instead="second"), Models()) == ["first", "second"]


def test_a_model_that_refuses_again_and_again_is_left_alone_then_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fallback, models = Fallback("first", instead="second"), Models()
    for _ in range(5):
        assert asked(fallback, models) == ["first", "second"]
    assert asked(fallback, models) == ["second"]
    monkeypatch.setattr(fallback, "_open_until", 0.0)  # the rest is over
    monkeypatch.setattr("demo.app.fallback._REST_SECONDS", 0.0)
    assert asked(fallback, models) == ["first", "second"]
    models.refusing = False
    assert asked(fallback, models) == ["first"]


def test_refusals_with_answers_between_them_do_not_add_up() -> None:
    fallback, models = Fallback("first", instead="second"), Models()
    for refusing in (True, True, True, True, False, True, True, True, True):
        models.refusing = refusing
        assert asked(fallback, models)[0] == "first"
    assert asked(fallback, models)[0] == "first"


def test_an_error_of_another_kind_is_the_answer() -> None:
    async def fail(_: str) -> str:
        raise openai.APIConnectionError(request=httpx2.Request("POST", "http://127.0.0.1/"))

    with pytest.raises(openai.APIConnectionError):
        asyncio.run(Fallback("first", instead="second").ask(fail))
