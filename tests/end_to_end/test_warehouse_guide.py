"""The guide to the warehouse: its questions are asked of a real one that has calls, scores and failures."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from genai_observability import signals

from stack.settings import Settings
from tests.usage import CALL, NOW, PRICE, recorded, rows, scored, send, warehouse

GUIDE: Final = Path(__file__).resolve().parents[2] / "docs" / "warehouse.md"
QUESTIONS: Final = re.findall(r"(?ms)^(\S[^\n]+\?)\n\n```sql\n(.*?)```", GUIDE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A warehouse with an hour of calls."""
    with warehouse(tmp_path_factory.mktemp("guide")) as running:
        conversation = {**CALL.attribution, signals.CONVERSATION.name: "CONVERSATION"}
        calls = [
            replace(
                CALL,
                started=NOW - timedelta(minutes=number),
                response_id=f"r-{number}",
                outcome="error" if number % 10 == 0 else "success",
                error_type="openai.APIError" if number % 10 == 0 else None,
                attribution=conversation if number < 3 else CALL.attribution,
            )
            for number in range(60)
        ]
        send(running, recorded(calls))
        send(running, recorded(calls[:5], replace(PRICE, amount=None, unpriced="unknown_model", cache_saved=None)))
        send(running, scored("r-1", "up", 1.0))
        send(running, scored("r-2", "down", 0.0))
        yield running


def test_there_are_ten_questions() -> None:
    assert len(QUESTIONS) == 10


@pytest.mark.parametrize(("question", "sql"), QUESTIONS, ids=[question for question, _ in QUESTIONS])
def test_each_question_is_answered(settings: Settings, question: str, sql: str) -> None:
    assert rows(settings, sql), question


def _answer(settings: Settings, beginning: str) -> list[dict[str, Any]]:
    (sql,) = (sql for question, sql in QUESTIONS if question.startswith(beginning))
    return rows(settings, sql)


def test_the_answers_are_right(settings: Settings) -> None:
    (team,) = _answer(settings, "What did each team's features cost")
    assert (team["team"], team["feature"], team["without_price"]) == ("growth", "search", 5)
    failures = _answer(settings, "Why did calls fail")
    assert [(each["error_type"], each["calls"], each["users"]) for each in failures] == [("openai.APIError", 7, 1)]
    (prompt,) = _answer(settings, "How do users like")
    assert (prompt["pieces"], prompt["mean_score"], prompt["thumbs_down"]) == (2, 0.5, 1)
    assert len(_answer(settings, "What happened in a conversation")) == 6
    (unpriced,) = _answer(settings, "Which models have no price")
    assert (unpriced["request_model"], unpriced["calls"]) == ("gpt-4o-mini", 5)
