"""What scorers and users say of answers."""

import logging

from genai_observability._context.attribution import text
from genai_observability._detection import scrubbed
from genai_observability._instrument import recorder
from genai_observability._record.scores import SIGNS, Answer, Kind, read, sign, write
from genai_observability._recorder import Recorder

_logger = logging.getLogger("genai_observability")


def evaluation(
    name: str,
    *,
    score: float | None = None,
    label: str | None = None,
    explanation: str | None = None,
    response_id: str | None = None,
    feedback_token: str | None = None,
) -> None:
    """Record a score of an answer, as the conventions' event ``gen_ai.evaluation.result`` and as a metric.

    Args:
        name: What was scored, such as ``"groundedness"``: one of a few names, as it is a metric label.
        score: From 0 (bad) to 1 (good). Without it, or where it is no finite number, there is the event alone.
        label: The score in a word, such as ``"pass"``; cut to 200 characters.
        explanation: Why; written to the log as it is, cut to 500 characters: leave out what must not be there.
        response_id: ``response.id`` of the answer. It joins the score to the answer's trace, feature and model, where
            this process made the call and has made fewer than 10,000 since.
        feedback_token: In place of it, what ``feedback_token()`` gave for the answer, in whatever process and however
            long ago. One that is not of this installation is left out, with a warning; the score is kept.

    Example:
        answer = client.responses.create(model="gpt-4.1-mini", input="Do you ship to Norway?")
        genai_observability.evaluation("groundedness", score=0.9, label="pass", response_id=answer.id)
    """
    if (recording := recorder()) is not None:
        answer = _answer(recording, response_id, feedback_token)
        recording.evaluate(name, score=score, label=label, explanation=explanation, answer=answer)


def feedback(
    kind: Kind,
    *,
    stars: int | None = None,
    category: str | None = None,
    comment: str | None = None,
    response_id: str | None = None,
    feedback_token: str | None = None,
) -> bool:
    """Record what a user said of an answer, or did with it.

    Args:
        kind: ``"up"``, ``"down"``, ``"stars"``, ``"report"``, or what the user did: ``"regenerate"``, ``"edit"``,
            ``"copy"``, ``"abandon"`` (left within half a minute). Each stands for a satisfaction from 0 to 1 and has
            a weight: see ``docs/feedback.md``.
        stars: With ``"stars"`` alone: 1 to 5.
        category: What is wrong, in a word that your application chose, such as ``"outdated"``.
        comment: The user's own words; written to the log without keys, quoted text and personal data, cut to 200
            characters.
        response_id: As for ``evaluation()``.
        feedback_token: As for ``evaluation()``, but feedback with one that is not of this installation is left out.

    Returns:
        Whether it was recorded. Anything else than the above is left out, with a warning; without ``instrument()``
        everything is.

    Example:
        answer = client.responses.create(model="gpt-4.1-mini", input="Do you ship to Norway?")
        genai_observability.feedback("stars", stars=2, category="outdated", response_id=answer.id)
    """
    if (found := sign(kind, stars)) is None:
        kinds = ", ".join((*SIGNS, "stars"))
        _logger.warning("Feedback is left out: %.50r with %.50r stars is none of: %s (1 to 5).", kind, stars, kinds)
        return False
    if (recording := recorder()) is None:
        return False
    answer = _answer(recording, response_id, feedback_token)
    if feedback_token is not None and answer is None:
        return False
    said = scrubbed(text(comment)) if comment is not None else None
    recording.feedback(kind, found, category=category, comment=said, answer=answer)
    return True


def feedback_token(response_id: str) -> str:
    """What to keep with an answer, so that feedback on it can be given elsewhere and later, as from a web page.

    It holds the answer's id, trace, feature, team, tenant, prompt and model, and no user; it is signed, with the key
    of the users' hashes, and so must be read where that key is the same.

    Args:
        response_id: ``response.id`` of the answer. Right after the call all of this is known; of an answer that this
            process does not know, the token holds the id alone.

    Returns:
        A text of some 300 characters that fits into an address or a form.

    Example:
        answer = client.responses.create(model="gpt-4.1-mini", input="Do you ship to Norway?")
        token = genai_observability.feedback_token(answer.id)
        # later, wherever instrument() was called:
        genai_observability.feedback("up", feedback_token=token)
    """
    known = text(response_id)
    recording = recorder()
    return write(recording.answer(known) if recording else Answer(response_id=known, span=None, attributes={}))


def _answer(recorder: Recorder, response_id: str | None, feedback_token: str | None) -> Answer | None:
    if feedback_token is None:
        return None if response_id is None else recorder.answer(text(response_id))
    answer = read(feedback_token)
    if answer is None:
        _logger.warning("A feedback token is none of ours, or its key is not that of this process: it is left out.")
    return answer
