"""What is taken for personal data or a key, what is not, and how long that takes."""

import os
import random
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable

import pytest
from genai_observability._detection import OwnPattern, find, replace

REDACTED = {
    # e-mail addresses
    "alice@example.com": "[e-mail]",
    "Write to alice.b+news@mail.example.co.uk.": "Write to [e-mail].",
    "<bob_1@example.org>, 'o'hara@example.ie'": "<[e-mail]>, [e-mail]'",
    "jürgen@müller.example": "[e-mail]",
    "?mail=alice%40example.com&x=1": "?mail=[e-mail]&x=1",
    r'{"note": "hello\nalice@example.com"}': r'{"note": "hello\n[e-mail]"}',
    r"alice\u0040example.com": "[e-mail]",
    # phone numbers: international, North American, European national, told by a word
    "+49 30 1234567": "[phone]",
    "+49 (0) 30 / 123 45 67": "[phone]",
    "+1 (415) 555-2671": "[phone]",
    "+14155552671": "[phone]",
    "+44 20 7946 0958, please": "[phone], please",
    "+33 6 12 34 56 78": "[phone]",
    "+91-98765-43210": "[phone]",
    "+86 138 0013 8000": "[phone]",
    "00 44 20 7946 0958": "[phone]",
    "0049 170 1234567": "[phone]",
    "(555) 234-5678": "[phone]",
    "555-234-5678 or 555.234.5678": "[phone] or [phone]",
    "1-800-555-0199": "[phone]",
    "030 12345678": "[phone]",
    "0170/1234567": "[phone]",
    "06 12 34 56 78": "[phone]",
    "020 7946 0958": "[phone]",
    "phone: 5552345678": "phone: [phone]",
    '{"phone_number": "5552345678"}': '{"phone_number": "[phone]"}',
    "call me at 5552345678": "call me at [phone]",
    "Tel. 12345678": "Tel. [phone]",
    # social security numbers
    "123-45-6789": "[ssn]",
    "123 45 6789": "[ssn]",
    "my SSN is 123456789": "my SSN is [ssn]",
    "social security number: 123456789": "social security number: [ssn]",
    # cards: test numbers that the issuers publish
    "4111111111111111": "[card]",
    "4111 1111 1111 1111": "[card]",
    "4111-1111-1111-1111": "[card]",
    "4111.1111.1111.1111": "[card]",
    "4111\u00a01111\u00a01111\u00a01111": "[card]",
    "card 4222222222222 ok": "card [card] ok",
    "5555 5555 5555 4444": "[card]",
    "2223003122003222": "[card]",
    "3782 822463 10005": "[card]",
    "378282246310005": "[card]",
    "6011111111111117": "[card]",
    "3056 930902 5904": "[card]",
    "3530111333300000": "[card]",
    "6200000000000005": "[card]",
    "4111 1111 1111 1111 123": "[card] 123",
    "1234 4111-1111-1111-1111": "1234 [card]",
    r"pay\n4111 1111 1111 1111\n": r"pay\n[card]\n",
    # IP addresses
    "10.0.0.1": "[ip]",
    "from 192.168.1.254.": "from [ip].",
    "http://10.0.0.1:8080/x": "http://[ip]:8080/x",
    "10.0.0.0/8": "[ip]/8",
    "8.8.8.8 and 1.1.1.1": "[ip] and [ip]",
    "2001:db8::8a2e:370:7334": "[ip]",
    "[fe80::1]:80": "[[ip]]:80",
    "::ffff:10.1.2.3": "[ip]",
    "2001:0db8:85a3:0000:0000:8a2e:0370:7334": "[ip]",
    # keys
    "sk-proj-Ab12Cd34Ef56Gh78Ij90Kl12": "[key]",
    "sk-ant-api03-Ab12Cd34Ef56Gh78Ij90-Kl12": "[key]",
    "sk-1234567890abcdefghijklmnop": "[key]",
    "AKIAIOSFODNN7EXAMPLE": "[key]",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY": "aws_secret_access_key = [key]",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345": "[key]",
    "github_pat_11ABCDEFG0abcdefghijklmnop": "[key]",
    "glpat-0123456789abcdefghij": "[key]",
    "xoxb-123456789012-abcdefGHIJKL": "[key]",
    "https://hooks.slack.com/services/T00000000/B00000000/abcdefghijkl": "https://hooks.slack.com/services/[key]",
    "sk_" + "live_0123456789abcdefghijABCD": "[key]",
    "rk_" + "test_0123456789abcdefghijABCD": "[key]",
    "AIza" + "SyA0123456789abcdefghijklmnopqrstuv": "[key]",
    "hf_ABCDEFGHIJabcdefghij0123456789abcd": "[key]",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N": "[key]",
    "Authorization: Bearer abcdef0123456789": "Authorization: Bearer [key]",
    "Authorization: Basic YWxpY2U6c2VjcmV0MQ==": "Authorization: Basic [key]",
    "postgres://shop:s3cret@db/orders": "postgres://shop:[key]@db/orders",
    "password: hunter2": "password: [key]",
    "DB_PASSWORD='c0rrect-horse'": "DB_PASSWORD='[key]'",
    '{"api_key": "0a1b2c3d4e"}': '{"api_key": "[key]"}',
    r"{\"token\": \"0a1b2c3d4e\"}": r"{\"token\": \"[key]\"}",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nafter": "[key]\nafter",
    "-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----": "[key]",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz and so on": "[key]",
    "sk-" + "Ab12Cd34Ef" * 200: "[key]",
    # inline media
    "![x](data:image/png;base64,iVBORw0KGgo=)": "![x]([data])",
}  # fmt: skip

KEPT = (
    "user at example dot com", "@dataclass", "a@b", "me@localhost", "price@ 3", "1@2.3",
    "order 5552345678", "at 1700000000 and 1700000000000", "ORD-555-234-5678", "ISBN 978-3-16-148410-0",
    "550e8400-e29b-41d4-a716-446655440000", "12345678-1234-1234-1234-123456789012",
    "2024-01-02 10:20:30", "01/02/2024 1234", "01-02-2024 12", "2024-01-01T10:00:00+0100", "+1000 points",
    "1,000,000.00",
    "0.4111111111111111", "4111111111111112", "4111 1111 1111 1112", "1234567890123456", "41111111111111111111",
    "000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "123-45-0000", "123-45-678", "1123-45-6789",
    "123456789",
    "v1.2.3.4", "version 1.2.3.4", "release: 10.1.2.3", "Chrome/120.0.0.0", "1.2.3", "1.2.3.4.5", "256.1.1.1",
    "01.02.03.04",
    "12:30:45", "aa:bb:cc:dd:ee:ff", "std::vector", "dead::beef", "a::b", "x ? y : z", "10:00:00:00",
    "sk-learn-contrib-projects", "sk-short1", "AKIATOOSHORT", "the bearer of bad news", "bearer transportation",
    "password: required", "max_tokens: 4096", "the token is a word", "basic understanding", "https://example.com/a:b",
    "-----BEGIN CERTIFICATE-----", "eyJust a word", "key: value", "What is a trace?",
)  # fmt: skip


@pytest.mark.parametrize(("text", "redacted"), REDACTED.items())
def test_personal_data_and_keys_are_replaced_by_what_they_are(text: str, redacted: str) -> None:
    assert replace(text, find(text)) == redacted
    embedded = f"Well, {text}"
    assert replace(embedded, find(embedded)) == f"Well, {redacted}"


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_it_is_kept(text: str) -> None:
    assert replace(text, find(text)) == text


def test_a_pattern_of_the_users_replaces_what_it_finds_by_its_name() -> None:
    patterns = {"order": OwnPattern(r"ORD-\d{6}"), "patient": OwnPattern(r"\bP\d{8}\b")}
    text = "ORD-123456 of P12345678 <a@b.com>"
    assert replace(text, find(text, patterns)) == "[order] of [patient] <[e-mail]>"


def test_what_overlaps_is_replaced_as_a_whole() -> None:
    text = "id alice@example.com-4711 x"
    found = find(text, {"account": OwnPattern(r"\w+\.com-\d+")})
    assert replace(text, found) == "id [e-mail] x"


SLOW_ELSEWHERE = (r"(\w+\s?){0,20}!", r"(a+)+!", r"(?:ab|a.)*!", r"(?i)(.*?,){11}!", r"a.*x|a", r"((a?){30}){30}b")


@pytest.mark.parametrize("pattern", SLOW_ELSEWHERE)
def test_no_pattern_of_the_users_can_hold_the_process_up(pattern: str) -> None:
    search = threading.Thread(target=lambda: list(OwnPattern(pattern).find("aB a," * 6_000)))
    started = last = time.monotonic()
    longest = 0.0
    search.start()
    while search.is_alive():
        time.sleep(0.001)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert longest < 1, "other threads run meanwhile"
    assert last - started < 20


def test_a_pattern_works_in_a_child_that_was_made_by_fork_in_the_midst_of_a_search() -> None:
    pattern = OwnPattern("a[ab]{200}c")  # with new states all the time, which are made under a lock
    text = "".join(random.choices("ab", k=30_000))
    ended = threading.Event()

    def search() -> None:
        while not ended.is_set():
            list(pattern.find(text))

    searching = threading.Thread(target=search)
    searching.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later dislike a fork beside threads
            for _ in range(20):
                time.sleep(0.01)
                assert _child_ends(lambda: list(pattern.find(text)))
    finally:
        ended.set()
        searching.join()


def _child_ends(work: Callable[[], object]) -> bool:
    child = os.fork()
    if not child:
        signal.alarm(10)
        work()
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def test_half_a_character_in_a_text_does_not_stop_a_pattern() -> None:
    assert list(OwnPattern("ORD-[0-9]+").find("\ud83d é ORD-7")) == [(4, 9)]


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [("ORD-(", "missing )"), ("(?<!x)y", "invalid perl operator"), ("x*", "it matches where there is nothing"),
     ("x{1001}", "invalid repetition size"), ("\ud800", "surrogates not allowed"), (b"x", "it is no text")],
)  # fmt: skip
def test_a_pattern_that_cannot_be_used_says_why(pattern: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        OwnPattern(pattern)


def test_without_its_engine_a_pattern_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(ValueError, match=re.escape("pip install 'genai-observability[redaction]'")):
        OwnPattern("x")


HOSTILE = (
    "a", "a.", "@", "a@", "a@a.", "%40", "1", "1 ", "4 ", "4111 ", "0", "0 1", "00 1", "+", "+1 ", "(2", "1.", "1-",
    "1:",
    "a:", ":", "::", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "eyJ", "eyJa.", "sk-", "sk-1", "SG.", "://a:", "://",
    "Bearer ", "Basic ", "password=", "token", "key:1", "\\n", "\\u0040", "data:;base64,", "data:a;a=", "ssn ",
    "ssn is ",
    "phone ", "tel no ", "version ", "A" * 20, "xoxb-", "AKIA", "hooks.slack.com/services/a", "Bearer a1", "basic 1",
    "ya29.a", "eyJaaaaaaaaa.", "SG.aaaaaaaaaaaaaaaa", "\ud800", "\x00", "é",
)  # fmt: skip


def test_a_megabyte_of_anything_takes_time_in_proportion_to_its_length() -> None:
    def seconds(text: str) -> float:
        started = time.thread_time()
        find(text)
        return time.thread_time() - started

    find("".join(HOSTILE) * 10)  # compiles every pattern
    for piece in HOSTILE:
        short, long = (piece * (size // len(piece)) for size in (1_000_000 // 8, 1_000_000))
        # Eight times the text may take eight times as long; were it quadratic, it would be 64 times, and each time.
        assert any(seconds(long) < 24 * seconds(short) + 0.05 for _ in range(3)), repr(piece)
