"""The channels: switched on in one file, refused without their secrets, routed by severity and team, and delivering."""

import base64
import json
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from stack.alerting.__main__ import main
from stack.alerting.configuration import GENERATED, SECRETS, alertmanager_yml
from stack.channels import FILE, KINDS, Channels, ChannelsError
from stack.native import down, up
from stack.native.configuration import prepare
from stack.native.servers import servers
from stack.secret_files import prepare as prepare_secrets
from stack.settings import Settings
from stack.thresholds import FILE as THRESHOLDS
from tests.receivers import Mailbox, http_receiver, mail_server, tls_of
from tests.stores import settings_at

SETTINGS = Settings.load()
CONFIGURATION = SETTINGS.root / "alertmanager" / "alertmanager.yml"
TEMPLATES = SETTINGS.root / "alertmanager" / "templates"
SHIPPED = FILE.read_text(encoding="utf-8")

TEAMS = """\
teams:
  search: {pagerduty: true, slack: true, email: search@example.com}
  growth: {jira: GROW, webhook: true}
"""

NIGHTS = 'mute_times:\n  nights:\n    severities: [warning]\n    from: "20:00"\n    to: "07:00"\n'


def channel_file(*enabled: str, teams: str = "teams: {}\n", **values: str) -> str:
    """The shipped file with channels switched on, and with the values of some keys (`email_to`) replaced or added."""
    text = SHIPPED.replace("teams: {}\n", teams)
    for kind in enabled:
        text, count = re.subn(rf"(?m)^({kind}:\n  enabled: )false", r"\1true", text)
        assert count == 1, kind
    for name, value in values.items():
        kind, _, key = name.partition("_")
        text, count = re.subn(rf"(?m)^({kind}:\n(?:  .*\n)*?  {key}: ).*", rf"\g<1>{value}", text)
        if not count:
            text, count = re.subn(rf"(?m)^({kind}:\n)", rf"\g<1>  {key}: {value}\n", text)
        assert count == 1, name
    return text


def load(tmp_path: Path, text: str) -> Channels:
    path = tmp_path / "channels.yaml"
    path.write_text(text, encoding="utf-8")
    return Channels.load(path)


def put_secrets(channels: Channels, directory: Path, **contents: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for secret in channels.secrets():
        default = "http://127.0.0.1:9/" if secret.name.endswith("url") else "0123456789abcdef" * 2
        (directory / secret.name).write_text(contents.get(re.sub(r"\W", "_", secret.name), default) + "\n")


def receivers_of(text: str) -> list[dict[str, Any]]:
    """The receivers that have channels."""
    return [each for each in yaml.safe_load(text)["receivers"] if each["name"] not in ("inbox", "nobody", "heartbeat")]


def amtool(*arguments: str | Path) -> str:
    command = [SETTINGS.binaries / "amtool", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


# --- The file of channels ---------------------------------------------------------------------------------------------


def test_as_shipped_every_channel_is_off_and_the_inbox_is_the_only_receiver() -> None:
    channels = Channels.load()
    assert not any(channels.of(kind).enabled for kind in KINDS)
    assert list(channels.secrets()) == []
    inbox, nobody = yaml.safe_load(CONFIGURATION.read_text())["receivers"]
    assert inbox["name"] == "inbox"
    assert nobody == {"name": "nobody"}


def test_the_default_severities_are_those_of_the_requirements() -> None:
    channels = Channels.load()
    assert channels.pagerduty.severities == ("critical",)
    assert channels.slack.severities == ("critical", "warning")
    assert channels.email.severities == channels.jira.severities == ("info",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("enabled: false", "enabled: yes", "pagerduty.enabled must be true or false, but is 'yes'"),
        ("severities: [critical]", "severities: [fatal]", "must be one of critical, warning, info, but is 'fatal'"),
        ("severities: [critical]", "severities: []", "pagerduty.severities must name at least one of critical,"),
        ("severities: [critical]", "severities: critical", "pagerduty.severities must be a list, such as [a, b]"),
        ("address: https://events", "address: events", "pagerduty.address must be an http or https address"),
        ("to: alerts@example.com", "to: Alerts", "email.to must be an e-mail address such as alerts@example.com"),
        ("example.com:587", "example.com", "email.server must be a server and its port, such as smtp.example.com:587"),
        ("project: OPS", "project: ops", "jira.project must be the key of a Jira project, such as OPS"),
        ("\nslack:", "\nsms:", "sms is unknown; known here: pagerduty, slack, email, jira, webhook, heartbeat,"),
        ("  project: OPS\n", "", "jira.project is missing"),
        ("every: 30s", "every: often", 'heartbeat.every must be a duration such as "30s" or "1m", but is \'often\''),
        (
            "mute_times: {}",
            NIGHTS.replace("[warning]", "[critical]"),
            "mute_times.nights.severities must not name critical",
        ),
        ("mute_times: {}", NIGHTS.replace('"20:00"', '"8 pm"'), "mute_times.nights.from must be a time of day such as"),
        ("mute_times: {}", NIGHTS.replace('"20:00"', '"07:00"'), "mute_times.nights.to must differ from `from`"),
        ("mute_times: {}", NIGHTS + "    weekdays: [mon]\n", "mute_times.nights.weekdays must be one of monday,"),
        ("mute_times: {}", NIGHTS + "    time_zone: Berlin\n", "time_zone must be a time zone such as Europe/Berlin"),
        ("teams: {}", "teams: {search: {sms: true}}", "teams.search.sms is unknown; known here: pagerduty, slack,"),
        ("teams: {}", "teams: {'a b': {}}", "teams.a b must be a name of letters, digits, dashes and underscores"),
        ("escalation: {}", "escalation: {third: {}}", "escalation.third is unknown; known here: first, second"),
        ("escalation: {}", "escalation: {first: {}}", "escalation.first.channels is missing"),
        (
            "escalation: {}",
            "escalation: {first: {channels: []}}",
            "escalation.first.channels must name at least one of",
        ),
        (
            "escalation: {}",
            "escalation: {first: {channels: [sms]}}",
            "escalation.first.channels must be one of pagerduty,",
        ),
        (
            "escalation: {}",
            "escalation: {first: {channels: [slack]}}",
            "escalation tells people by slack while slack.ena",
        ),
        ("teams: {}", "teams: {search: {slack: true}}", "teams gives search its own slack while slack.enabled is"),
    ],
)
def test_a_faulty_value_is_named_with_its_line_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SHIPPED
    text = SHIPPED.replace(old, new, 1)
    with pytest.raises(ChannelsError) as raised:
        load(tmp_path, text)
    assert re.match(rf"{re.escape(str(tmp_path))}/channels.yaml, line \d+: ", str(raised.value))
    assert message in str(raised.value)


def test_the_line_of_a_faulty_value_is_the_one_to_edit(tmp_path: Path) -> None:
    text = SHIPPED.replace("severities: [info]", "severities: [informational]", 1)
    line = text[: text.index("informational")].count("\n") + 1
    with pytest.raises(ChannelsError, match=f"line {line}: email.severities must be one of"):
        load(tmp_path, text)


# --- Generating -------------------------------------------------------------------------------------------------------


def generate(tmp_path: Path, text: str, *options: str) -> int:
    path = tmp_path / "channels.yaml"
    path.write_text(text, encoding="utf-8")
    arguments = ["--channels", str(path), "--secrets", str(tmp_path / "secrets")]
    return main([*arguments, "--output", str(tmp_path / "alertmanager.yml"), *options])


def test_the_committed_file_is_up_to_date_and_says_where_it_comes_from() -> None:
    text = CONFIGURATION.read_text(encoding="utf-8")
    assert text == alertmanager_yml(Channels.load())
    assert text.startswith(GENERATED + "\n")


def test_a_stale_file_fails_the_check_and_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate(tmp_path, SHIPPED) == 0
    assert generate(tmp_path, SHIPPED, "--check") == 0
    before = (tmp_path / "alertmanager.yml").read_text()
    assert generate(tmp_path, channel_file("slack"), "--check") == 1
    assert capsys.readouterr().err == f"{tmp_path}/alertmanager.yml is not up to date: run `make generate`.\n"
    assert (tmp_path / "alertmanager.yml").read_text() == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_channel_without_its_secret_is_refused_with_the_missing_path(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    channels = load(tmp_path, channel_file(kind))
    (secret,) = channels.secrets()
    assert generate(tmp_path, channel_file(kind)) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"{kind} is enabled, but {tmp_path}/secrets/{secret.name} is missing: put ")
    assert error.count("\n") == 1
    assert not (tmp_path / "alertmanager.yml").exists()
    put_secrets(channels, tmp_path / "secrets")
    assert generate(tmp_path, channel_file(kind)) == 0


@pytest.mark.parametrize(
    ("content", "problem"), [("\n", "is empty"), ("T0/B0/token\n", "does not contain an http or https address")]
)
def test_a_useless_secret_is_refused_and_not_shown(
    content: str, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "slack-webhook-url").write_text(content)
    assert generate(tmp_path, channel_file("slack")) == 1
    error = capsys.readouterr().err
    assert f"secrets/slack-webhook-url {problem}" in error
    assert "token" not in error


def test_a_team_needs_the_secrets_of_its_own_channels(tmp_path: Path) -> None:
    channels = load(tmp_path, channel_file(*KINDS, teams=TEAMS))
    assert [secret.name for secret in channels.secrets()] == [
        "pagerduty-routing-key",
        "search-pagerduty-routing-key",
        "slack-webhook-url",
        "search-slack-webhook-url",
        "email-password",
        "jira-token",
        "webhook-url",
        "growth-webhook-url",
    ]


def test_a_mail_server_without_login_needs_no_secret(tmp_path: Path) -> None:
    channels = load(tmp_path, channel_file("email", email_user="''"))
    assert list(channels.secrets()) == []
    assert "auth" not in alertmanager_yml(channels)


def test_the_certificate_of_an_own_authority_is_one_file_for_all_channels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = channel_file(*KINDS, **{f"{kind}_own_ca": "true" for kind in KINDS})
    channels = load(tmp_path, text)
    assert [secret.name for secret in channels.secrets()].count("ca.pem") == 1
    put_secrets(channels, tmp_path / "secrets")
    assert generate(tmp_path, text) == 1
    assert f"{tmp_path}/secrets/ca.pem does not contain a certificate in PEM format: put the" in capsys.readouterr().err
    put_secrets(channels, tmp_path / "secrets", ca_pem="-----BEGIN CERTIFICATE-----")
    assert generate(tmp_path, text) == 0
    amtool("check-config", tmp_path / "alertmanager.yml")
    (critical, warning, info) = receivers_of((tmp_path / "alertmanager.yml").read_text())
    assert str(critical).count("'ca_file': '/run/secrets/ca.pem'") == 3  # PagerDuty, Slack, webhook
    assert str(warning).count("'ca_file': '/run/secrets/ca.pem'") == 2  # Slack, webhook
    assert str(info).count("'ca_file': '/run/secrets/ca.pem'") == 3  # e-mail, Jira, webhook
    assert "ca_file" not in alertmanager_yml(load(tmp_path, channel_file(*KINDS)))


@pytest.mark.parametrize(
    ("address", "api"),
    [
        ("https://example.atlassian.net", "cloud"),
        ("https://api.atlassian.com/ex/jira/11223344", "cloud"),
        ("https://jira.example.com", "datacenter"),
        ("https://atlassian.net.example.com/jira", "datacenter"),
    ],
)
def test_jira_is_spoken_to_as_what_it_is(address: str, api: str, tmp_path: Path) -> None:
    text = alertmanager_yml(load(tmp_path, channel_file("jira", jira_address=address)))
    (jira,) = receivers_of(text)[0]["jira_configs"]
    assert (jira["api_type"], jira["api_url"]) == (api, f"{address}/rest/api/2")


# --- Routes and receivers ---------------------------------------------------------------------------------------------

ALL_ON = channel_file(*KINDS, teams=TEAMS)


@pytest.mark.parametrize("text", [SHIPPED, *(channel_file(kind) for kind in KINDS), ALL_ON], ids=range(7))
def test_amtool_accepts_what_is_generated(text: str, tmp_path: Path) -> None:
    put_secrets(load(tmp_path, text), tmp_path / "secrets")
    assert generate(tmp_path, text) == 0
    amtool("check-config", tmp_path / "alertmanager.yml")


@pytest.mark.parametrize(
    ("text", "severity", "team", "receiver", "integrations"),
    [
        (SHIPPED, "critical", "platform", "inbox", {"inbox"}),
        (SHIPPED, "info", "platform", "inbox", {"inbox"}),
        (channel_file("slack"), "critical", "platform", "critical", {"inbox", "slack"}),
        (channel_file("slack"), "warning", "platform", "warning", {"inbox", "slack"}),
        (channel_file("slack"), "info", "platform", "inbox", {"inbox"}),
        (channel_file("slack"), "", "", "inbox", {"inbox"}),
        (channel_file("email"), "critical", "platform", "inbox", {"inbox"}),
        (channel_file("email"), "info", "platform", "info", {"inbox", "email"}),
        (ALL_ON, "critical", "platform", "critical", {"inbox", "pagerduty", "slack", "webhook"}),
        (ALL_ON, "warning", "platform", "warning", {"inbox", "slack", "webhook"}),
        (ALL_ON, "info", "platform", "info", {"inbox", "email", "jira", "webhook"}),
        (ALL_ON, "critical", "search", "critical-search", {"inbox", "search-pagerduty", "search-slack", "webhook"}),
        (ALL_ON, "warning", "search", "warning-search", {"inbox", "search-slack", "webhook"}),
        (ALL_ON, "info", "search", "info-search", {"inbox", "search@example.com", "jira", "webhook"}),
        (ALL_ON, "critical", "growth", "critical-growth", {"inbox", "pagerduty", "slack", "growth-webhook"}),
        (ALL_ON, "info", "growth", "info-growth", {"inbox", "email", "GROW", "growth-webhook"}),
    ],
)
def test_an_alert_goes_to_the_channels_of_its_severity_and_team(
    text: str, severity: str, team: str, receiver: str, integrations: set[str], tmp_path: Path
) -> None:
    path = tmp_path / "alertmanager.yml"
    path.write_text(alertmanager_yml(load(tmp_path, text)))
    labels = [f'severity="{severity}"', f'team="{team}"']
    found = amtool("config", "routes", "test", f"--config.file={path}", *labels).strip()
    assert found == receiver
    (settings,) = [each for each in yaml.safe_load(path.read_text())["receivers"] if each["name"] == receiver]
    assert set(_integrations(settings)) == integrations


ESCALATED = ALL_ON.replace(
    "escalation: {}", "escalation: {first: {channels: [slack]}, second: {channels: [pagerduty, email], team: search}}"
)


@pytest.mark.parametrize(
    ("text", "level", "receiver", "integrations"),
    [
        (SHIPPED, "1", "inbox", {"inbox"}),
        (ALL_ON, "2", "inbox", {"inbox"}),
        (ESCALATED, "1", "escalation-1", {"inbox", "slack"}),
        (ESCALATED, "2", "escalation-2", {"inbox", "search-pagerduty", "search@example.com"}),
    ],
)
def test_an_alert_that_nobody_silenced_goes_to_the_next_people_alone(
    text: str, level: str, receiver: str, integrations: set[str], tmp_path: Path
) -> None:
    path = tmp_path / "alertmanager.yml"
    path.write_text(alertmanager_yml(load(tmp_path, text)))
    amtool("check-config", path)
    labels = [f'escalation="{level}"', 'severity="critical"', 'team="search"', 'alertname="GenAIErrorBurst"']
    found = amtool("config", "routes", "test", f"--config.file={path}", *labels).strip()
    assert found == receiver
    (settings,) = [each for each in yaml.safe_load(path.read_text())["receivers"] if each["name"] == receiver]
    assert set(_integrations(settings)) == integrations


def test_a_file_without_escalations_is_as_good_as_before(tmp_path: Path) -> None:
    text = SHIPPED.replace("escalation: {}\n", "")
    assert text != SHIPPED
    assert alertmanager_yml(load(tmp_path, text)) == CONFIGURATION.read_text()


def test_an_escalation_to_a_team_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    text = ALL_ON.replace("escalation: {}", "escalation: {first: {channels: [slack], team: nobody}}")
    with pytest.raises(ChannelsError, match="escalation names the team nobody, which is not listed under teams"):
        load(tmp_path, text)


def _integrations(receiver: dict[str, Any]) -> Iterator[str]:
    """What a receiver sends to, named by the secret, or by the address where teams share the secret."""
    for webhook in receiver["webhook_configs"]:
        yield "inbox" if "url" in webhook else _owner(webhook["url_file"], "-url")
    for pagerduty in receiver.get("pagerduty_configs", []):
        yield _owner(pagerduty["routing_key_file"], "-routing-key")
    for slack in receiver.get("slack_configs", []):
        yield _owner(slack["api_url_file"], "-webhook-url")
    for email in receiver.get("email_configs", []):
        yield "email" if email["to"] == "alerts@example.com" else email["to"]
    for jira in receiver.get("jira_configs", []):
        yield "jira" if jira["project"] == "OPS" else jira["project"]


def _owner(path: str, suffix: str) -> str:
    assert path.startswith(f"{SECRETS}/")
    return path.removeprefix(f"{SECRETS}/").removesuffix(suffix)


def test_each_receiver_has_the_inbox_and_every_channel_tells_the_end(tmp_path: Path) -> None:
    for receiver in receivers_of(alertmanager_yml(load(tmp_path, ALL_ON))):
        assert receiver["webhook_configs"][0]["url"] == "http://inbox:8093/alerts"
        integrations = [each for name, value in receiver.items() if name != "name" for each in value]
        assert all(each["send_resolved"] for each in integrations)


def test_jira_is_not_told_the_end_when_no_step_closes_an_issue(tmp_path: Path) -> None:
    receivers = receivers_of(alertmanager_yml(load(tmp_path, channel_file("jira", jira_resolve_transition="''"))))
    (jira,) = receivers[0]["jira_configs"]
    assert jira["send_resolved"] is False
    assert "resolve_transition" not in jira


def test_natively_the_secrets_are_read_from_the_repository(tmp_path: Path) -> None:
    settings = _repository(tmp_path, ALL_ON)
    prepare(settings, next(server for server in servers(settings) if server.name == "alertmanager"))
    text = (settings.state / "config" / "alertmanager" / "alertmanager.yml").read_text()
    assert SECRETS not in text
    files = re.findall(r"_file: (\S+)", text)
    assert len(files) > len(KINDS)
    assert all(Path(file).parent == settings.root / "secrets" for file in files)


# --- Secrets ----------------------------------------------------------------------------------------------------------


def test_make_secrets_makes_what_can_be_made_once_and_lists_the_rest(tmp_path: Path) -> None:
    channels = load(tmp_path, channel_file("slack", "jira"))
    directory = tmp_path / "secrets"
    first = prepare_secrets(channels, directory)
    password = directory / "grafana-password"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    content = password.read_text()
    assert len(content) >= 20
    assert content not in first
    assert f"{directory}/slack-webhook-url: is missing: put the address of an incoming webhook" in first
    put_secrets(channels, directory)
    again = prepare_secrets(channels, directory)
    assert password.read_text() == content
    assert f"{directory}/slack-webhook-url: there" in again
    assert "missing" not in again


# --- Messages ---------------------------------------------------------------------------------------------------------

LABELS = {
    "alertname": "GenAIErrorBurst",
    "severity": "critical",
    "service": "shop",
    "team": "platform",
    "app_feature": "search<script>",
}
ANNOTATIONS = {
    "summary": "30% of the model calls of shop <!channel> & co fail",
    "description": "More than 10% ended in an error.",
    "impact": "12 users of <b>search</b> got no answer.",
    "trace_url": "http://localhost:8093/report?service=shop&from=2026-05-01T09:30:00Z&to=2026-05-01T10:00:00Z",
    "runbook_url": "http://localhost:8093/runbooks/GenAIErrorBurst",
    "dashboard_url": "http://localhost:3000/d/genai-overview",
}

FINGERPRINT = "0123456789abcdef"
INCIDENT = f"http://localhost:8093/alerts/{FINGERPRINT}"

STATES = (  # something is so or it is not: there is nothing to measure
    "GenAIStackServerDown",
    "GenAIWarehouseDown",
    "GenAIConfigurationRejected",
    "GenAICircuitBreakerOpen",
    "GenAIBudgetExceeded",
    "GenAIPromptChanged",
)


def test_the_summary_of_each_alert_has_the_measured_value_in_it() -> None:
    for path in (SETTINGS.root / "prometheus" / "rules").glob("*.yaml"):
        rules = [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
        for rule in rules:
            if "alert" in rule and rule["alert"] not in STATES:
                assert "$value" in rule["annotations"]["summary"], rule["alert"]


def notification(tmp_path: Path, *statuses: str, annotations: dict[str, str] | None = None) -> Path:
    alerts = [
        {
            "status": status,
            "labels": LABELS,
            "annotations": annotations or ANNOTATIONS,
            "startsAt": "2026-05-01T10:00:00Z",
            "endsAt": "2026-05-01T10:12:00Z",
            "fingerprint": FINGERPRINT,
        }
        for status in statuses
    ]
    data = {
        "status": "firing" if "firing" in statuses else "resolved",
        "alerts": alerts,
        "commonLabels": LABELS,
        "commonAnnotations": annotations or ANNOTATIONS,
    }
    path = tmp_path / "notification.json"
    path.write_text(json.dumps(data))
    return path


def rendered(
    tmp_path: Path, template: str, *statuses: str, kind: str = "text", annotations: dict[str, str] | None = None
) -> str:
    return amtool(
        "template",
        "render",
        f"--template.glob={TEMPLATES}/*.tmpl",
        f"--template.data={notification(tmp_path, *statuses, annotations=annotations)}",
        f"--template.type={kind}",
        f"--template.text={template}",
    )


MESSAGES = {
    "plain": ('{{ template "genai.alerts" .Alerts }}', "text", ANNOTATIONS["summary"]),
    "slack": ('{{ template "genai.slack.text" . }}', "text", "shop &lt;!channel&gt; &amp; co fail"),
    "html": ('{{ template "genai.email.html" . }}', "html", "shop &lt;!channel&gt; &amp; co fail"),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_an_alert_without_impact_and_traces_is_told_without_them(name: str, tmp_path: Path) -> None:
    template, kind, summary = MESSAGES[name]
    lacking = {key: text for key, text in ANNOTATIONS.items() if key not in ("impact", "trace_url")}
    text = rendered(tmp_path, template, "firing", kind=kind, annotations=lacking)
    for part in (summary, ANNOTATIONS["description"], ANNOTATIONS["dashboard_url"], INCIDENT):
        assert part in text
    assert "Impact" not in text
    assert "Traces" not in text
    assert "<no value>" not in text


def test_the_address_of_the_inbox_in_messages_is_a_setting(tmp_path: Path) -> None:
    thresholds = tmp_path / "thresholds.yaml"
    own = "inbox: https://alerts.example.org/genai/\n"
    thresholds.write_text(THRESHOLDS.read_text().replace("inbox: http://localhost:8093\n", own))
    output = tmp_path / "alertmanager.yml"
    assert main(["--thresholds", str(thresholds), "--output", str(output)]) == 0
    written = (tmp_path / "templates" / "inbox.tmpl").read_text()
    assert '{{ define "genai.inbox" }}https://alerts.example.org/genai{{ end }}' in written


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("status", ["firing", "resolved"])
def test_a_message_says_what_how_much_since_when_and_where_to_look(name: str, status: str, tmp_path: Path) -> None:
    template, kind, summary = MESSAGES[name]
    text = rendered(tmp_path, template, status, kind=kind)
    assert summary in text
    assert "30%" in text
    for part in (
        ANNOTATIONS["description"],
        ANNOTATIONS["runbook_url"],
        ANNOTATIONS["dashboard_url"],
        INCIDENT,
        "shop",
    ):
        assert part in text
    assert f"{status}, since 2026-05-01 10:00:00 UTC" in text
    assert ("until 2026-05-01 10:12:00 UTC" in text) == (status == "resolved")
    assert "<no value>" not in text


@pytest.mark.parametrize("name", ["genai.title", "genai.slack.title"])
@pytest.mark.parametrize(
    ("statuses", "start", "end"),
    [
        (["firing"], "FIRING critical: 30% of the model calls", "fail"),
        (["resolved", "firing"], "FIRING critical: 30% of the model calls", "fail (2 alerts)"),
        (["resolved"], "RESOLVED critical: 30% of the model calls", "fail"),
    ],
)
def test_a_title_is_one_line(name: str, statuses: list[str], start: str, end: str, tmp_path: Path) -> None:
    title = rendered(tmp_path, f'{{{{ template "{name}" . }}}}', *statuses)
    assert title.startswith(start)
    assert title.endswith(end)
    assert "\n" not in title


@pytest.mark.parametrize("name", MESSAGES)
def test_a_large_group_is_cut_and_says_so(name: str, tmp_path: Path) -> None:
    template, kind, summary = MESSAGES[name]
    text = rendered(tmp_path, template, *["firing"] * 12, kind=kind)
    assert text.count(summary) == 10
    assert "10 of 12 alerts; the inbox shows all of them." in text


def test_every_template_that_a_receiver_names_exists(tmp_path: Path) -> None:
    text = alertmanager_yml(load(tmp_path, ALL_ON))
    defined = set(re.findall(r'define "([\w.]+)"', (TEMPLATES / "messages.tmpl").read_text()))
    used = set(re.findall(r'template "([\w.]+)"', text))
    assert used
    assert used <= defined


# --- Delivery by the real Alertmanager --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate of a server on this machine, signed by itself, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    kind = ["-x509", "-nodes", "-days", "2", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    name = ["-subj", "/CN=Own authority", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.pem")]
    subprocess.run(["openssl", "req", *kind, *name, *files], check=True, capture_output=True)
    return folder


def _repository(tmp_path: Path, text: str, **secrets: str) -> Settings:
    """A repository with these channels and their secrets, generated as `make generate` does it."""
    root = tmp_path / "repository"
    for name in ("alertmanager", "postgres"):
        shutil.copytree(SETTINGS.root / name, root / name)
    channels = load(tmp_path, text)
    put_secrets(channels, root / "secrets", **secrets)
    arguments = ["--channels", str(tmp_path / "channels.yaml"), "--secrets", str(root / "secrets")]
    assert main([*arguments, "--output", str(root / "alertmanager" / "alertmanager.yml")]) == 0
    (root / "stack").symlink_to(SETTINGS.root / "stack")
    return replace(settings_at(tmp_path / "state"), root=root)


@contextmanager
def alerting(settings: Settings) -> Iterator[None]:
    try:
        up(settings, only={"alertmanager", "inbox"})
        yield
    finally:
        down(settings)


def post_alert(settings: Settings, severity: str, *, team: str = "platform", ended: bool = False) -> None:
    now = datetime.now(UTC)
    alert = {
        "labels": LABELS | {"severity": severity, "team": team},
        "annotations": ANNOTATIONS,
        "startsAt": (now - timedelta(seconds=1)).isoformat(),
        "endsAt": (now if ended else now + timedelta(minutes=5)).isoformat(),
    }
    httpx.post(f"{settings.alertmanager_url}/api/v2/alerts", json=[alert]).raise_for_status()


def wait_for(what: Callable[[], Any], *, seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"nothing within {seconds} s"
        time.sleep(0.1)
    return found


def in_inbox(settings: Settings, status: str, severity: str) -> list[Any]:
    notifications = httpx.get(f"{settings.inbox_url}/api/notifications").json()
    alerts = [alert for each in notifications for alert in each["alerts"]]
    return [each for each in alerts if (each["status"], each["labels"]["severity"]) == (status, severity)]


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
def test_alerts_arrive_at_the_channels_and_the_inbox_with_their_ends(tmp_path: Path) -> None:
    mailbox = Mailbox("the password")
    with http_receiver() as receiver, mail_server(mailbox) as smtp:
        text = channel_file(
            *KINDS,
            teams="teams:\n  search: {slack: true}\n",
            pagerduty_address=f"{receiver.url}/pagerduty",
            email_server=smtp,
            email_user="alerts",
            email_tls="false",
            email_severities="[critical]",  # critical alerts need not wait for company
            jira_address=receiver.url,
            jira_severities="[critical]",
        )
        settings = _repository(
            tmp_path,
            text,
            pagerduty_routing_key="R1" * 16,
            slack_webhook_url=f"{receiver.url}/slack",
            search_slack_webhook_url=f"{receiver.url}/slack-of-search",
            email_password="the password",
            jira_token="T1",
            webhook_url=f"{receiver.url}/webhook",
        )
        with alerting(settings):
            post_alert(settings, "critical")
            (page,) = wait_for(lambda: receiver.bodies("/pagerduty"), seconds=10)
            assert (page["routing_key"], page["event_action"]) == ("R1" * 16, "trigger")
            assert page["payload"]["severity"] == "critical"
            assert page["payload"]["summary"] == f"FIRING critical: {ANNOTATIONS['summary']}"
            assert page["payload"]["source"] == "shop"
            incident, *links = [link["href"] for link in page["links"]]
            assert httpx.get(f"{settings.inbox_url}{urlsplit(incident).path}").headers["location"] == "/incidents/1"
            assert links == [
                ANNOTATIONS["runbook_url"],
                ANNOTATIONS["dashboard_url"],
            ]
            (message,) = wait_for(lambda: receiver.bodies("/slack"), seconds=10)
            (attachment,) = message["attachments"]
            assert "&lt;!channel&gt;" in attachment["title"]
            assert attachment["title_link"] == incident
            assert f"<{incident}|Incident> <{ANNOTATIONS['runbook_url']}|Runbook>" in attachment["text"]
            (told,) = wait_for(lambda: receiver.bodies("/webhook"), seconds=10)
            assert told["alerts"][0]["labels"]["alertname"] == "GenAIErrorBurst"
            (issue,) = wait_for(lambda: receiver.bodies("/rest/api/2/issue"), seconds=10)
            assert issue["fields"]["project"]["key"] == "OPS"
            assert issue["fields"]["priority"]["name"] == "High"
            login = base64.b64encode(b"alerts@example.com:T1").decode()
            assert {headers["Authorization"] for _, path, headers, _ in receiver.requests if "/rest/" in path} == {
                f"Basic {login}"
            }
            ((to, mail),) = wait_for(lambda: mailbox.messages, seconds=10)
            assert to == ["alerts@example.com"]
            assert mail["Subject"] == f"FIRING critical: {ANNOTATIONS['summary']}"
            plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
            assert plain is not None
            assert html is not None
            assert ANNOTATIONS["runbook_url"] in plain.get_content()
            assert f'<a href="{ANNOTATIONS["runbook_url"]}">' in html.get_content()
            assert wait_for(lambda: in_inbox(settings, "firing", "critical"), seconds=10)

            post_alert(settings, "critical", team="search")
            wait_for(lambda: receiver.bodies("/slack-of-search"), seconds=10)
            assert len(receiver.bodies("/slack")) == 1

            post_alert(settings, "critical", ended=True)
            wait_for(lambda: len(mailbox.messages) == 3, seconds=25)
            assert mailbox.messages[-1][1]["Subject"].startswith("RESOLVED critical: ")
            wait_for(lambda: "RESOLVED" in str(receiver.bodies("/rest/api/2/issue/OPS-1")[-1:]), seconds=10)
            (closed,) = wait_for(lambda: receiver.bodies("/rest/api/2/issue/OPS-1/transitions"), seconds=10)
            assert closed["transition"]["id"] == "31"
            actions = [page["event_action"] for page in receiver.bodies("/pagerduty")]
            assert actions.count("resolve") == 1
            assert wait_for(lambda: receiver.bodies("/slack")[1:], seconds=10)[0]["attachments"][0]["color"] == "good"


def test_the_inbox_is_told_while_a_channel_fails_and_when_its_secret_is_lost(tmp_path: Path) -> None:
    with http_receiver() as receiver:
        receiver.failing.add("/slack")
        settings = _repository(
            tmp_path,
            channel_file("slack", "webhook"),
            slack_webhook_url=f"{receiver.url}/slack",
            webhook_url=f"{receiver.url}/webhook",
        )
        (settings.root / "secrets" / "webhook-url").unlink()
        with alerting(settings):
            post_alert(settings, "critical")
            wait_for(lambda: receiver.bodies("/slack"), seconds=10)
            assert wait_for(lambda: in_inbox(settings, "firing", "critical"), seconds=10)
            assert not receiver.bodies("/webhook")


EMAIL = {"email_user": "alerts", "email_severities": "[critical]"}


def test_mail_and_webhook_are_encrypted_for_servers_of_an_own_authority(tmp_path: Path, certificate: Path) -> None:
    mailbox = Mailbox("the password")
    tls = tls_of(certificate)
    with http_receiver(tls) as receiver, mail_server(mailbox, tls) as smtp:
        text = channel_file("email", "webhook", **EMAIL, email_server=smtp, email_own_ca="true", webhook_own_ca="true")
        settings = _repository(
            tmp_path,
            text,
            email_password="the password",
            webhook_url=f"{receiver.url}/webhook",
            ca_pem=(certificate / "ca.pem").read_text(),
        )
        with alerting(settings):
            post_alert(settings, "critical")
            ((to, mail),) = wait_for(lambda: mailbox.messages, seconds=10)
            assert to == ["alerts@example.com"]
            assert mail["Subject"] == f"FIRING critical: {ANNOTATIONS['summary']}"
            assert mailbox.encrypted == [True]
            assert wait_for(lambda: receiver.bodies("/webhook"), seconds=10)


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
@pytest.mark.parametrize(
    ("encrypts", "own_ca", "password", "reason"),
    [
        (True, "true", "another password", "auth: 535"),
        (True, "false", "the password", "certificate signed by unknown authority"),
        (False, "true", "the password", "does not advertise the STARTTLS extension"),
    ],
    ids=["wrong password", "unknown authority", "no STARTTLS"],
)
def test_mail_that_cannot_be_sent_safely_is_not_sent_and_the_inbox_is_told(
    *, encrypts: bool, own_ca: str, password: str, reason: str, tmp_path: Path, certificate: Path
) -> None:
    mailbox = Mailbox("the password")
    with mail_server(mailbox, tls_of(certificate) if encrypts else None) as smtp:
        text = channel_file("email", **EMAIL, email_server=smtp, email_own_ca=own_ca)
        settings = _repository(tmp_path, text, email_password=password, ca_pem=(certificate / "ca.pem").read_text())
        with alerting(settings):
            post_alert(settings, "critical")
            assert wait_for(lambda: in_inbox(settings, "firing", "critical"), seconds=10)
            wait_for(lambda: _failed(settings, "email"), seconds=10)
            log = settings.state / "logs" / "alertmanager.log"
            wait_for(lambda: reason in log.read_text(), seconds=10)
            assert password not in log.read_text()
            assert mailbox.messages == []


def _failed(settings: Settings, integration: str) -> bool:
    """Whether Alertmanager has counted an attempt that failed."""
    metrics = httpx.get(f"{settings.alertmanager_url}/metrics").text
    counts = re.findall(
        rf'alertmanager_notification_requests_failed_total{{integration="{integration}".*}} (\d+)', metrics
    )
    return any(int(count) for count in counts)


@pytest.mark.parametrize(
    ("address", "user", "login", "search"),
    [
        (
            "https://example.atlassian.net",
            "alerts@example.com",
            f"Basic {base64.b64encode(b'alerts@example.com:T1').decode()}",
            "/rest/api/3/search/jql",
        ),
        ("https://jira.example.com", "''", "Bearer T1", "/rest/api/2/search"),
    ],
    ids=["cloud", "data center"],
)
def test_a_jira_issue_is_made_and_closed(address: str, user: str, login: str, search: str, tmp_path: Path) -> None:
    with http_receiver() as receiver:
        text = channel_file("jira", jira_address=address, jira_user=user, jira_severities="[critical]")
        settings = _repository(tmp_path, text, jira_token="T1")
        configuration = settings.root / "alertmanager" / "alertmanager.yml"
        configuration.write_text(configuration.read_text().replace(address, receiver.url))
        with alerting(settings):
            post_alert(settings, "critical")
            (issue,) = wait_for(lambda: receiver.bodies("/rest/api/2/issue"), seconds=10)
            assert issue["fields"]["issuetype"]["name"] == "Task"
            assert ANNOTATIONS["runbook_url"] in issue["fields"]["description"]
            post_alert(settings, "critical", ended=True)
            (closed,) = wait_for(lambda: receiver.bodies("/rest/api/2/issue/OPS-1/transitions"), seconds=25)
            assert closed["transition"]["id"] == "31"
        (label,) = issue["fields"]["labels"]
        assert all(f'labels="{label}"' in body["jql"] for body in receiver.bodies(search))
        assert len(receiver.bodies(search)) >= 2
        assert {headers["Authorization"] for _, _, headers, _ in receiver.requests} == {login}
