"""One interface to VictoriaLogs and Loki: the same application's records give the same answers.

VictoriaLogs is the real one. Loki's answers have been recorded; where the program `loki` is on the PATH it is asked,
too.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
from genai_observability import signals
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from stack.clients import LogStore, Loki, StoreError, VictoriaLogs, Where, log_store, victorialogs
from stack.clients import loki as loki_client
from stack.clients.logs import CUT, Line
from stack.dashboards import PanelQuery, Window, dashboards, error_lines, queries
from stack.native import StackError, down, up
from stack.native.servers import servers
from stack.settings import Logs, Settings
from tests.log_records import RECORDS, SERVICE, Answers, answering, write
from tests.stores import settings_at

Value = TypeVar("Value")

_LOKI_IS_HERE = shutil.which("loki") is not None
_OF_LOKI = [*(["Loki"] if _LOKI_IS_HERE else []), "Loki, as recorded"]
_OF_EACH = ["VictoriaLogs", *_OF_LOKI]
_CALLS = Where(signals.EVENT_NAME.name, "=", signals.CALL_EVENT)
_FINDINGS = Where(signals.EVENT_NAME.name, "=", signals.SECURITY_EVENT)
_MINUTE = timedelta(minutes=1)
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Asked:
    """A store with the application's records, and the time in which they were written."""

    store: LogStore
    start: datetime
    end: datetime

    def lines(self, *where: Where) -> list[Line]:
        return list(self.store.lines(*where, start=self.start, end=self.end))

    def count(self, *where: Where) -> int:
        return self.store.count(*where, start=self.start, end=self.end)

    def count_by(self, fields: list[str], *where: Where) -> dict[tuple[str, ...], int]:
        return self.store.count_by(fields, *where, start=self.start, end=self.end)


def _eventually(find: Callable[[], Value]) -> Value:
    deadline = time.monotonic() + 20
    while not (value := find()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return value


def _running(state: Path, logs: Logs) -> Settings:
    settings = settings_at(state, logs=logs)
    up(settings, only={"collector", logs})
    return settings


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """VictoriaLogs, and a Collector before it."""
    settings = _running(tmp_path_factory.mktemp("victorialogs"), "victorialogs")
    yield settings
    down(settings)


@pytest.fixture(scope="module")
def with_loki(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The Loki of the PATH, and a Collector before it."""
    settings = _running(tmp_path_factory.mktemp("loki"), "loki")
    yield settings
    down(settings)


@pytest.fixture(scope="module")
def written(request: pytest.FixtureRequest) -> Iterator[Asked]:
    """Each store in turn, once the records are there."""
    if request.param == "Loki, as recorded":
        answers = Answers.read()
        with answering(answers) as url:
            yield Asked(Loki(url), answers.start, answers.end)
        return
    settings: Settings = request.getfixturevalue("native" if request.param == "VictoriaLogs" else "with_loki")
    start = datetime.now(UTC)
    write(settings)
    end = start + _MINUTE
    assert _eventually(lambda: log_store(settings).count(start=start, end=end) == RECORDS)
    if request.param == "VictoriaLogs" or "RECORD_LOKI" not in os.environ:
        yield Asked(log_store(settings), start, end)
        return
    answers = Answers(start, end, {})
    with answering(answers, settings.loki_url) as url:
        yield Asked(Loki(url), start, end)
    version = httpx.get(f"{settings.loki_url}/loki/api/v1/status/buildinfo").json()["version"]
    answers.write(version)


each_store = pytest.mark.parametrize("written", _OF_EACH, indirect=True)
each_loki = pytest.mark.parametrize("written", _OF_LOKI, indirect=True)


@each_store
def test_lines_come_newest_first_with_every_field_under_its_own_name(written: Asked) -> None:
    lines = written.lines()
    assert len(lines) == RECORDS
    assert sorted((line.nanoseconds for line in lines), reverse=True) == [line.nanoseconds for line in lines]
    assert all(written.start <= line.time < written.end for line in lines)
    [call] = [line for line in written.lines(_CALLS) if line.fields[signals.OUTCOME.name] == "error"]
    assert call.body.startswith("chat gpt-4o-mini: error, ")
    expected = {
        "service.name": SERVICE,
        "telemetry.sdk.language": "python",
        "scope.name": "genai_observability",
        "severity_text": "ERROR",
        signals.EVENT_NAME.name: signals.CALL_EVENT,
        signals.REQUEST_MODEL.name: "gpt-4o-mini",
        signals.TEAM.name: 'A "team"',
        signals.ERROR_TYPE.name: "openai.BadRequestError",
    }
    assert expected.items() <= call.fields.items()
    assert re.fullmatch(r"[0-9a-f]{32}", call.fields["trace_id"])
    assert re.fullmatch(r"[0-9a-f]{16}", call.fields["span_id"])
    assert ":" in call.fields["service.instance.id"]


@each_store
def test_values_are_text_whose_numbers_and_lists_read_as_what_was_sent(written: Asked) -> None:
    [score] = written.lines(Where(signals.EVENT_NAME.name, "=", signals.EVALUATION_EVENT))
    assert float(score.fields[signals.EVALUATION_SCORE.name]) == 1e-7
    [call, _] = written.lines(_CALLS, Where(signals.OUTCOME.name, "=", "success"))
    assert call.fields[signals.INPUT_TOKENS.name] == "7"
    assert json.loads(call.fields[signals.FINISH_REASONS.name]) == ["stop"]
    assert float(call.fields[signals.COST.name]) > 0


@each_store
def test_the_applications_own_lines_come_as_they_were_written(written: Asked) -> None:
    lines = written.lines(Where(signals.EVENT_NAME.name, "=", ""))
    assert [line.body for line in lines] == ["the last", 'a line\nof "two", für bob']
    assert lines[1].fields["step"] == "2"


@each_store
def test_conditions_match_whole_values_and_take_what_is_missing_for_empty(written: Asked) -> None:
    team = signals.TEAM.name
    assert written.count() == RECORDS
    assert written.count(_CALLS) == 3
    assert written.count(_CALLS, Where(signals.OUTCOME.name, "!=", "success")) == 1
    assert written.count(Where("service.name", "=~", "sh.p"), _FINDINGS) == 2
    assert written.count(Where("service.name", "=~", "sho")) == 0
    assert written.count(Where(team, "=", 'A "team"')) == 6
    assert written.count(Where(team, "=", "")) == written.count(Where(team, "!~", ".+")) == 2
    assert written.count(Where(team, "=~", ".*")) == RECORDS
    assert written.count(Where("never.sent", "=", "")) == RECORDS
    assert written.count(Where("never.sent", "!=", "")) == 0


@each_store
def test_records_are_counted_by_fields_that_some_lack(written: Asked) -> None:
    counted = written.count_by([signals.EVENT_NAME.name, signals.OUTCOME.name])
    assert counted == {
        (signals.CALL_EVENT, "success"): 2,
        (signals.CALL_EVENT, "error"): 1,
        (signals.SECURITY_EVENT, ""): 2,
        (signals.EVALUATION_EVENT, ""): 1,
        ("", ""): 2,
    }
    assert written.count_by([signals.TEAM.name], Where("never.sent", "!=", "")) == {}


@each_store
def test_a_trace_is_told_from_its_beginning(written: Asked) -> None:
    [failed] = written.lines(_CALLS, Where(signals.OUTCOME.name, "=", "error"))
    lines = written.store.trace(failed.fields["trace_id"], start=written.start, end=written.end)
    assert [line.body.partition("\n")[0] for line in lines] == [failed.body, "a line"] or [
        line.body.partition("\n")[0] for line in lines
    ] == ["a line", failed.body]
    assert written.store.trace("0" * 32, start=written.start, end=written.end) == []


@each_store
def test_a_time_range_begins_with_its_start_and_ends_before_its_end(written: Asked) -> None:
    times = [line.time for line in written.lines()]
    inside = list(written.store.lines(start=times[-2], end=times[0]))
    assert times[-2] - timedelta(microseconds=1) < inside[-1].time
    assert [line.time for line in inside] == times[1:-1]


@each_store
def test_what_does_not_fit_into_one_answer_is_read_whole(written: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = written.lines()
    monkeypatch.setattr(victorialogs, "_PAGE", 3)
    monkeypatch.setattr(loki_client, "_PAGE", 3)
    assert written.lines() == whole


@each_store
def test_the_panel_of_error_lines_is_answered_with_the_application_s_own_lines(written: Asked) -> None:
    query = _of_error_lines()
    (row,) = error_lines.rows(written.store, query.lines, start=written.start, end=written.end)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row.pop("time"))
    assert re.fullmatch(r"[0-9a-f]{32}", row.pop("trace_id"))
    assert row == {"message": 'a line\nof "two", für bob', "service_name": SERVICE, "severity_text": "ERROR"}


@each_loki
def test_loki_answers_the_text_of_that_panel_as_its_description(written: Asked) -> None:
    assert isinstance(written.store, Loki)
    query = _of_error_lines()
    entries = written.store.entries(query.expr, start=written.start, end=written.end, limit=error_lines.MOST)
    described = error_lines.rows(written.store, query.lines, start=written.start, end=written.end)
    assert [entry.labels for entry in entries] == described


@each_loki
def test_loki_says_why_it_refuses_a_query(written: Asked) -> None:
    assert isinstance(written.store, Loki)
    with pytest.raises(StoreError, match=r"^Loki refused the query `sum\(`: parse error at line 1"):
        written.store.query("sum(", at=written.end)


def test_victorialogs_says_why_it_refuses_a_query(native: Settings) -> None:
    now = datetime.now(UTC)
    with pytest.raises(StoreError, match=r'^VictoriaLogs refused the query `"a":~.* invalid regexp .*missing closing'):
        VictoriaLogs(native.victorialogs_url).count(Where("a", "=~", "("), start=now - _MINUTE, end=now)


def test_all_lines_are_read_however_many_of_them_have_one_time(native: Settings) -> None:
    begin = time.time_ns()
    # Ten lines a nanosecond: the border between two pages lies amid lines of the same time, of which two are alike.
    records = [_record(f"{number // 2}", at=begin + number // 10) for number in range(12_003)]
    now = _send(native, "many", records)
    store, where = VictoriaLogs(native.victorialogs_url), Where("service.name", "=", "many")
    assert _eventually(lambda: store.count(where, start=now - _MINUTE, end=now + _MINUTE) == 12_003)
    found = list(store.lines(where, start=now - _MINUTE, end=now + _MINUTE))
    assert sorted(int(line.body) for line in found) == [number // 2 for number in range(12_003)]
    assert [line.nanoseconds for line in found] == sorted((line.nanoseconds for line in found), reverse=True)


def test_more_lines_of_one_nanosecond_than_an_answer_holds_are_an_error(
    native: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(victorialogs, "_PAGE", 3)
    at = time.time_ns()
    now = _send(native, "one", [_record(f"{number}", at=at) for number in range(4)])
    store, where = VictoriaLogs(native.victorialogs_url), Where("service.name", "=", "one")
    assert _eventually(lambda: store.count(where, start=now - _MINUTE, end=now + _MINUTE) == 4)
    with pytest.raises(StoreError, match="holds more than 3 lines of one nanosecond"):
        list(store.lines(where, start=now - _MINUTE, end=now + _MINUTE))


_POISON: dict[str, dict[str, object]] = {
    "attribute": {"long": "ü" * 2_000_000},
    "attributes": {f"number.{number}": "x" * 1000 for number in range(3000)},
    "list": {"list": ["x" * 1000] * 3000},
    "map": {"map": {f"{number}": "x" * 1000 for number in range(3000)}},
    "name": {"n" * 200: "x", "ü" * 70: "y"},
}
"""The fields of records that a log store would drop, for its body as for them."""


@pytest.mark.parametrize("store", ["native", *(["with_loki"] if _LOKI_IS_HERE else [])])
def test_what_is_too_long_for_the_store_is_cut_and_says_so(store: str, request: pytest.FixtureRequest) -> None:
    settings: Settings = request.getfixturevalue(store)
    records = [_record("ü" * 2_000_000, {"kind": "body"}), _record("behind", {"kind": "none"})]
    records[1:1] = [_record(kind, {"kind": kind, **fields}) for kind, fields in _POISON.items()]
    now = _send(settings, "poison", records)
    where, window = Where("service.name", "=", "poison"), {"start": now - _MINUTE, "end": now + _MINUTE}
    lines = _eventually(lambda: found if len(found := list(log_store(settings).lines(where, **window))) == 7 else [])
    cut = {line.fields.get("kind", ""): line.fields.get(CUT, "") for line in lines}
    kept = {"body", "attribute", "name", "none"}
    assert {kind: cut[kind] for kind in kept} == {"body": "true", "attribute": "true", "name": "true", "none": ""}
    assert sum(line.fields.get(CUT) == "true" for line in lines) == 6
    [body] = [line.body for line in lines if line.fields.get("kind") == "body"]
    assert body.endswith("ü…")
    assert 255_000 < len(body.encode()) <= 256_000
    assert max(sum(len(f"{item}".encode()) for item in line.fields.items()) for line in lines) < 2_000_000


def test_a_record_with_a_field_of_its_stream_twice_does_not_end_victorialogs(native: Settings) -> None:
    records = [
        _record("plain", {"service.name": "other", "deployment.environment.name": "other"}),
        _record("map", {"service": {"name": "other"}, "deployment": {"environment": {"name": "other"}}}),
        _record("nested", {"deployment.environment": {"name": "other"}, "": {"service.name": "other"}}),
        _record({"service.name": "other"}),
        _record([{"service.name": "other"}, "text"]),
        _record("behind"),
    ]
    now = _send(native, "twice", records)
    _send(native, "twice", [_record("resource")], ("service.name", "other"), ("service", {"name": "other"}))
    store, window = VictoriaLogs(native.victorialogs_url), {"start": now - _MINUTE, "end": now + _MINUTE}
    assert _eventually(lambda: store.count(Where("service.name", "=", "twice"), **window) == 7)
    assert store.count(Where("service.name", "=", "other"), **window) == 0
    lines = list(store.lines(Where("service.name", "=", "twice"), **window))
    assert {line.body for line in lines} > {"plain", "map", "nested", '{"service.name":"other"}', "behind", "resource"}
    assert {line.body for line in lines if CUT in line.fields} == {"plain", "map", "nested"}


def test_names_that_victorialogs_has_for_itself_change_nothing_and_a_line_without_text_has_none(
    native: Settings,
) -> None:
    own = dict.fromkeys(("_msg", "_time", "_stream", "_stream_id"), "other")
    now = _send(native, "special", [_record("", {"number": "1"}), _record("text", own)], *own.items())
    store, window = VictoriaLogs(native.victorialogs_url), {"start": now - _MINUTE, "end": now + _MINUTE}
    where = Where("service.name", "=", "special")
    lines = _eventually(lambda: found if len(found := list(store.lines(where, **window))) == 2 else [])
    assert {line.body for line in lines} == {"", "text"}
    assert not [line for line in lines if "other" in line.fields.values()]


def test_every_logsql_query_of_the_guides_is_understood_and_names_known_fields(native: Settings) -> None:
    known = {attribute.name for attribute in signals.attributes()} | {"service.name", "severity_text", CUT, "_time"}
    found = [query for page in (_ROOT / "docs").rglob("*.md") for query in _logsql(page)]
    assert len(found) >= 4
    for query in found:
        answer = httpx.get(f"{native.victorialogs_url}/select/logsql/query", params={"query": query, "limit": 1})
        assert answer.status_code == 200, f"{query}: {answer.text}"
        assert set(re.findall(r"([\w.]+):", query)) <= known, query


def test_the_lines_of_one_person_can_be_deleted(native: Settings) -> None:
    now = _send(native, "deleted", [_record(user, {"user.hash": user}) for user in ("alice", "bob", "alice")])
    store, where = VictoriaLogs(native.victorialogs_url), Where("service.name", "=", "deleted")
    window = {"start": now - _MINUTE, "end": now + _MINUTE}
    assert _eventually(lambda: store.count(where, **window) == 3)
    [command] = re.findall(r"`curl localhost:9428(/delete/.*?)`", (_ROOT / "docs" / "logs.md").read_text())
    path, _, data = command.partition(" -d ")
    data = data.strip("'").replace("…", "alice")
    headers = {"content-type": "application/x-www-form-urlencoded"}
    httpx.post(f"{native.victorialogs_url}{path}", content=data, headers=headers).raise_for_status()
    assert _eventually(lambda: store.count_by(["user.hash"], where, **window) == {("bob",): 1})


def test_a_store_that_is_not_there_is_said_in_one_sentence() -> None:
    now = datetime.now(UTC)
    for store in (VictoriaLogs("http://127.0.0.1:1"), Loki("http://127.0.0.1:1")):
        assert not store.answers()
        with pytest.raises(StoreError, match=rf"^{store.name} is not reachable at http://127.0.0.1:1; .*`make up`"):
            store.count(start=now - _MINUTE, end=now)


def test_the_log_store_of_the_stack_is_the_one_that_answers(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    assert isinstance(log_store(settings), VictoriaLogs)
    assert isinstance(log_store(replace(settings, logs="loki")), Loki)
    with answering(Answers.read()) as url:
        in_containers = replace(settings, loki_port=int(url.rpartition(":")[2]))
        assert isinstance(log_store(in_containers), VictoriaLogs), "it is no Loki that answers 501"


def test_loki_is_asked_for_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match=r"^LOGS=loki, but there is no program loki on the PATH: install it, or"):
        servers(settings_at(tmp_path, logs="loki"))


def _logsql(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    examples = re.findall(rf"^    ((?:service\.name|{re.escape(CUT)}):.*)$", text, re.MULTILINE)
    commands = re.findall(r"localhost:9428/select/logsql/query.* 'query=(.*)'$", text, re.MULTILINE)
    return [*examples, *commands, *re.findall(r"```logsql\n(.*?)```", text, re.DOTALL)]


def _of_error_lines() -> PanelQuery:
    """The only query of the dashboards for a log store, for the minute of the records."""
    asked = [query for page in dashboards().values() for query in queries(page, Window(_MINUTE)) if query.lines]
    assert len(asked) == 1
    return asked[0]


def _record(body: object, fields: Mapping[str, object] | None = None, *, at: int | None = None) -> LogRecord:
    attributes = [KeyValue(key=name, value=_value(value)) for name, value in (fields or {}).items()]
    return LogRecord(time_unix_nano=at or time.time_ns(), body=_value(body), attributes=attributes)


def _value(value: object) -> AnyValue:
    if isinstance(value, dict):
        pairs = [KeyValue(key=name, value=_value(each)) for name, each in value.items()]
        return AnyValue(kvlist_value=KeyValueList(values=pairs))
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=map(_value, value)))
    return AnyValue(string_value=str(value))


def _send(settings: Settings, service: str, records: list[LogRecord], *resource: tuple[str, object]) -> datetime:
    of_service = ResourceLogs(scope_logs=[ScopeLogs(log_records=records)])
    for name, value in (("service.name", service), *resource):
        of_service.resource.attributes.append(KeyValue(key=name, value=_value(value)))
    content = ExportLogsServiceRequest(resource_logs=[of_service]).SerializeToString()
    headers = {"content-type": "application/x-protobuf"}
    httpx.post(f"{settings.otlp_http_url}/v1/logs", content=content, headers=headers, timeout=30).raise_for_status()
    return datetime.now(UTC)
