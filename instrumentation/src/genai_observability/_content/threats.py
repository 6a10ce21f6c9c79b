"""Signs of an attack or a leak in one call, told without its content.

Heuristics, meant to be right when they speak rather than to find everything: English phrases for attacks, the patterns
of ``detection`` for personal data, and for a leak of the system prompt an answer that repeats it word for word.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

from genai_observability._content.conversation import Conversation, Message, texts
from genai_observability._detection import DATA, OwnPattern, compiled, find

Kind = Literal["prompt_injection", "pii", "system_prompt_leak"]
Source = Literal["input", "tool", "output"]

_SHORTEST_LEAK: Final = 100  # letters and digits of the system prompt in a row that make a leak …
_SHORTEST_PROMPT: Final = 40  # … and all of a shorter one, from this on
_HEAD: Final = 20_000  # characters looked at, of each text …
_TAIL: Final = 5_000
_TOTAL: Final = 100_000  # … and of all texts of one source


class Finding(NamedTuple):
    """What was found, where: ``times`` times in the user's input, in what tools returned, or in the answer."""

    kind: Kind
    detail: str
    source: Source
    times: int


def findings(said: Conversation, patterns: Mapping[str, OwnPattern]) -> list[Finding]:
    """The findings of one call. Of a conversation, only what is new since the last answer is looked at."""
    new = said.new_inputs()
    sources: dict[Source, list[str]] = {
        "input": _looked_at(message for message in new if message["role"] != "tool"),
        "tool": _looked_at(message for message in new if message["role"] == "tool"),
        "output": _looked_at(said.outputs),
    }
    found = []
    for source, said_there in sources.items():
        pii = Counter(match.kind for text in said_there for match in find(text, patterns) if match.kind != DATA)
        found += [Finding("pii", kind, source, count) for kind, count in pii.items()]
        if source != "output":
            attacks = Counter(attack for text in said_there for attack in _attacks(text))
            found += [Finding("prompt_injection", attack, source, count) for attack, count in attacks.items()]
    if _leaks(said.instructions()[:_TOTAL], "\n".join(sources["output"]), "\n".join(sources["input"])):
        found.append(Finding("system_prompt_leak", "verbatim", "output", 1))
    return found


def _looked_at(messages: Iterable[Message]) -> list[str]:
    left, looked_at = _TOTAL, []
    for text in ("\n".join(texts(part)) for message in messages for part in message["parts"]):
        if left <= 0:
            break
        piece = text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]}\n{text[-_TAIL:]}"
        looked_at.append(piece)
        left -= len(piece)
    return looked_at


_THE: Final = r"(?:(?:all|any|every|the|your|my|these|those|of) ){0,4}"
_EARLIER: Final = r"(?:previous|prior|above|preceding|earlier|foregoing|initial|original|system|existing|current)"
_RULES: Final = r"(?:instruction|prompt|rule|direction|guideline|command|message|directive|restriction|constraint)s?"
# The instructions are to be dropped.
_OVERRIDE: Final = (
    rf"\b(?:ignore|disregard|forget|override|bypass|do not follow|don't follow|stop following) {_THE}"
    rf"(?:{_EARLIER} (?:{_EARLIER} )?{_RULES}"
    rf"|{_RULES} (?:above|before this|you were given|you have been given|so far)"
    r"|everything (?:above|before this|you were told|i said before))\b"
)
# The instructions are to be shown.
_REVEAL: Final = (
    r"\b(?:reveal|show|print|repeat|output|display|recite|leak|dump|tell me|give me|write out|what (?:is|are|was)) "
    r"(?:(?:me|us|out|exactly|verbatim|the|your|all|of|full|entire|complete|exact|whole|hidden|secret) ){0,5}"
    r"(?:system (?:prompt|message|instruction)s?|(?:initial|original|hidden|secret) (?:prompt|instruction)s?)\b"
    r"|\brepeat (?:everything|all (?:the )?(?:text|words)|the (?:text|words)) above\b"
)
# The model is to be another one, without rules.
_JAILBREAK: Final = (
    r"\byou are (?:now )?(?:dan\b|(?:an? )?(?:unrestricted|unfiltered|uncensored|jailbroken))|\bdo anything now\b"
    r"|\b(?:enable|enter|activate|switch to|you are (?:now )?in) (?:developer|god|jailbreak|dan) mode\b"
    r"|\b(?:pretend|act|behave|respond|answer) (?:as if |as though |like |that )?"
    r"you (?:have|had|are under|were under) no (?:restriction|rule|guideline|filter|limit|ethic|content polic)"
)
# Marks that end a message and begin one of the system, in the formats that models are trained on.
_MARKUP: Final = (
    r"<\|(?:im_start|im_end|system|endoftext|eot_id|start_header_id)\|>|\[/?inst\]|<</?sys>>"
    r"|</?system(?:_prompt|_message)?>"
)
_ATTACKS: Final = (  # with what the text must contain, which is quick to look for
    ("override", ("ignore", "disregard", "forget", "override", "bypass", "follow"), _OVERRIDE),
    ("reveal", ("prompt", "instruction", "system message", "above"), _REVEAL),
    ("jailbreak",
     (" dan", " unrestricted", " unfiltered", " uncensored", " jailbroken", "anything now", " mode", " no "),
     _JAILBREAK),
    ("markup", ("<|", "inst]", "sys>>", "system"), _MARKUP),
)  # fmt: skip
_INVISIBLE: Final = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff\U000e0000-\U000e007f]")


def _attacks(text: str) -> Iterator[str]:
    """The names of the attacks in a text, each once, whatever its letters look like and however they are spaced."""
    seen = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).lower().replace("\u2019", "'")
    spaced = " ".join(seen.split())
    for name, needles, pattern in _ATTACKS:
        if any(needle in spaced for needle in needles) and compiled(pattern).search(spaced):
            yield name


def _leaks(instructions: str, answer: str, question: str) -> bool:
    """Whether the answer repeats a long piece of the instructions that the question did not contain."""
    secret, told, known = _bare(instructions), _bare(answer), _bare(question)
    if len(secret) < _SHORTEST_PROMPT or len(told) < _SHORTEST_PROMPT:
        return False
    if len(secret) <= _SHORTEST_LEAK:
        return secret in told and secret not in known
    # A piece of the length looked for contains at least one whole block of half that length.
    size = _SHORTEST_LEAK // 2
    blocks = {secret[at : at + size]: at for at in range(0, len(secret) - size + 1, size)}
    at = 0
    while at <= len(told) - size:
        place = blocks.get(told[at : at + size])
        if place is None:
            at += 1
            continue
        first, last = at, at + size
        while first > 0 and place > 0 and last - first < _SHORTEST_LEAK and told[first - 1] == secret[place - 1]:
            first, place = first - 1, place - 1
        while last < len(told) and place + last - first < len(secret) and told[last] == secret[place + last - first]:
            last += 1
        if last - first >= _SHORTEST_LEAK and told[first:last] not in known:
            return True
        at = max(at + 1, last - size)
    return False


def _bare(text: str) -> str:
    """Letters and digits alone: neither case, nor spaces, nor markup makes a difference."""
    return "".join(filter(str.isalnum, text.casefold()))
