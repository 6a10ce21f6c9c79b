"""What is recorded of an error's message: enough to know the error by, nothing of the request."""

import time

import pytest
from genai_observability import BudgetExceeded
from genai_observability._detection import scrubbed


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Incorrect API key provided: sk-proj-4f3d2c1b.", "Incorrect API key provided: [key]."),
        ('Invalid value: "tell me about alice"', "Invalid value: '…'"),
        ("No account for alice@example.com here", "No account for [e-mail] here"),
        ("No account for ü.b-c+d@sub.example.internal: <e@f.g>", "No account for [e-mail]: <[e-mail]>"),
        ("alice@example.com,bob@example.com", "[e-mail]"),
        ("We can't reach 10.0.0.7", "We can't reach 10.0.0.7"),
        ("", None),
        (None, None),
    ],
)
def test_an_error_message_is_recorded_without_keys_quotes_and_addresses(
    message: str | None, expected: str | None
) -> None:
    assert scrubbed(message) == expected


def test_a_long_error_message_is_cut() -> None:
    cut = scrubbed("word " * 100_000)
    assert cut is not None
    assert len(cut) == 200


@pytest.mark.parametrize("mark", ['"', "'", "`"])
def test_a_quotation_that_is_cut_off_is_not_recorded_either(mark: str) -> None:
    assert scrubbed(f"Invalid value: {mark}" + "tell me about alice, " * 1_000 + mark) == "Invalid value: '…'"


HOSTILE = (
    "a", "a.", "a@", "@a", "@", "a@a", "a@a.", "a@.", ".@", "a@b.c-", "sk-", "sk-.", "key-*", "Bearer ",
    "bearer", "'", '"', "`",
    "a'", "\"'`", "'a ", "4111 ", "+1 ", "\ud800", "é@",
)  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_message_of_any_kind_is_scrubbed_in_a_moment(piece: str) -> None:
    def seconds(message: str) -> float:
        started = time.thread_time()
        scrubbed(message)
        return time.thread_time() - started

    message = piece * (2_000 // len(piece))
    seconds(message)  # compiles every pattern
    assert min(seconds(message) for _ in range(3)) < 0.005


def test_an_exception_that_lost_what_it_was_made_with_still_has_a_message() -> None:
    assert str(BudgetExceeded()) == "A budget is used up."
    assert str(BudgetExceeded("no more today")) == "no more today"
    noted = BudgetExceeded()
    noted.add_note("in a worker")
    assert str(noted) == "A budget is used up."
