"""The published formats of the APIs that alerts are sent to; what a request has wrong by them, in words.

PagerDuty: https://developer.pagerduty.com/docs/events-api-v2-overview
Slack: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks and, below
https://docs.slack.dev/legacy/, secondary message attachments
Jira: https://developer.atlassian.com/server/jira/platform/rest/v10000/ (issue, search)
Webhook: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

_URL = re.compile(r"https?://\S+")


def faults(method: str, path: str, body: Any) -> Iterator[str]:
    """What is wrong with a request; the path says which API is meant."""
    if not isinstance(body, dict):
        yield "the body is not a JSON object"
    elif path == "/pagerduty":
        yield from _pagerduty(body)
    elif path.startswith("/slack"):
        yield from _slack(body)
    elif path.startswith(("/webhook", "/heartbeat")):
        yield from _webhook(body)
    elif path in ("/rest/api/2/search", "/rest/api/3/search/jql"):
        yield from _text(body, "jql", 10_000)
    elif path.endswith("/transitions"):
        yield from _text(body.get("transition", {}), "id", 50)
    elif path.startswith("/rest/api/2/issue"):
        yield from _jira(body.get("fields", {}), new=method == "POST")
    else:
        yield "no API has this address"


def _pagerduty(body: dict[str, Any]) -> Iterator[str]:
    known = {"routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "links", "images"}
    yield from _unknown(body, known)
    if not re.fullmatch(r"\w{32}", str(body.get("routing_key"))):
        yield "routing_key has not 32 characters"
    if body.get("event_action") not in ("trigger", "acknowledge", "resolve"):
        yield f"event_action is {body.get('event_action')!r}"
    yield from _text(body, "dedup_key", 255)
    if len(json.dumps(body)) > 512_000:
        yield "the event is larger than 512 KB"
    if body.get("event_action") == "trigger":
        payload = body.get("payload", {})
        yield from _unknown(
            payload, {"summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"}
        )
        yield from _text(payload, "summary", 1024)
        yield from _text(payload, "source", 1024)
        if payload.get("severity") not in ("critical", "error", "warning", "info"):
            yield f"severity is {payload.get('severity')!r}"
    for link in body.get("links", []):
        if not _URL.fullmatch(link.get("href", "")):
            yield f"the link {link} has no address"


def _slack(body: dict[str, Any]) -> Iterator[str]:
    yield from _unknown(body, {"text", "attachments", "channel", "username", "icon_emoji", "icon_url", "link_names"})
    attachments = body.get("attachments")
    if not body.get("text") and not attachments:
        yield "neither text nor attachments"
    for attachment in attachments or []:
        yield from _unknown(
            attachment,
            {
                "title",
                "title_link",
                "pretext",
                "text",
                "fallback",
                "footer",
                "color",
                "mrkdwn_in",
                "fields",
                "callback_id",
            },
        )
        yield from _text(attachment, "fallback", 4_000)
        yield from _text(attachment, "title", 1_024)
        yield from _text(attachment, "text", 40_000)
        if not _URL.fullmatch(attachment.get("title_link", "")):
            yield "title_link is no address"
        if not re.fullmatch(r"good|warning|danger|#[0-9a-fA-F]{6}", attachment.get("color", "")):
            yield f"color is {attachment.get('color')!r}"
        for key in ("title", "text", "fallback"):
            # What is between < and > is a link, or calls people.
            if re.search(r"<(?!https?://[^|>\s]+\|[^<>]+>)|&(?!amp;|lt;|gt;)", attachment.get(key, "")):
                yield f"{key} has unescaped markup"


def _jira(fields: dict[str, Any], *, new: bool) -> Iterator[str]:
    if new:
        if not re.fullmatch(r"[A-Z][A-Z0-9_]+", fields.get("project", {}).get("key", "")):
            yield "fields.project.key is no key of a project"
        yield from _text(fields.get("issuetype", {}), "name", 60)
    yield from _text(fields, "summary", 255)
    if "\n" in fields.get("summary", ""):
        yield "the summary has several lines"
    yield from _text(fields, "description", 32_767)
    for label in fields.get("labels", []):
        if re.search(r"\s", label) or len(label) > 255:
            yield f"{label!r} is no label"


def _webhook(body: dict[str, Any]) -> Iterator[str]:
    if body.get("version") != "4":
        yield f"version is {body.get('version')!r}"
    for key in ("groupKey", "receiver", "externalURL"):
        yield from _text(body, key, 10_000)
    if not isinstance(body.get("truncatedAlerts"), int):
        yield "truncatedAlerts is no number"
    for key in ("groupLabels", "commonLabels", "commonAnnotations"):
        if not isinstance(body.get(key), dict):
            yield f"{key} is no object"
    if not body.get("alerts"):
        yield "there are no alerts"
    yield from _status(body)
    for alert in body.get("alerts", []):
        yield from _status(alert)
        yield from _text(alert, "fingerprint", 16)
        for key in ("startsAt", "endsAt"):
            datetime.fromisoformat(alert[key])


def _status(where: dict[str, Any]) -> Iterator[str]:
    if where.get("status") not in ("firing", "resolved"):
        yield f"status is {where.get('status')!r}"


def _text(where: dict[str, Any], key: str, longest: int) -> Iterator[str]:
    value = where.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        yield f"{key} is no text of 1 to {longest} characters: {str(value)[:80]!r}"


def _unknown(where: dict[str, Any], known: set[str]) -> Iterator[str]:
    if more := set(where) - known:
        yield f"{', '.join(sorted(more))} is unknown"
