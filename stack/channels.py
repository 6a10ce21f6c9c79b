"""The channels that alerts go to besides the inbox, read from one file that users edit and checked down to the line."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from stack.reader import FaultError, FileError, Reader, Scalar, WebAddress, matching

FILE: Final = Path(__file__).with_suffix(".yaml")

Severity = Literal["critical", "warning", "info"]
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)

Kind = Literal["pagerduty", "slack", "email", "jira", "webhook"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


CA: Final = "ca.pem"
"""Below secrets/, though it is none: the one folder that Alertmanager is given."""


class ChannelsError(FileError):
    """The file has a fault, or a secret is missing; the message names what and where."""


class Team(str):
    """The value of the label `team`; also part of file names."""

    __slots__ = ()


class EmailAddress(str):
    """One address, without a display name."""

    __slots__ = ()


class HostPort(str):
    """A server and its port."""

    __slots__ = ()


class Login(str):
    """A user name; empty where none is needed."""

    __slots__ = ()


class ProjectKey(str):
    """The key of a Jira project."""

    __slots__ = ()


class Transition(str):
    """A step of a Jira workflow; empty for none."""

    __slots__ = ()


class Text(str):
    """Words that are not empty."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """What every channel has: whether it is used, for which alerts, and whose certificates it trusts."""

    enabled: bool
    severities: tuple[Severity, ...]
    own_ca: bool = False
    """Its server's certificate is signed by an authority of one's own, not by one that everybody knows."""

    def __post_init__(self) -> None:
        if not self.severities:
            raise FaultError("severities", f"must name at least one of {', '.join(SEVERITIES)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PagerDuty(Channel):
    """Events API v2."""

    address: WebAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Email(Channel):
    """Mail by SMTP."""

    to: EmailAddress
    from_: EmailAddress
    server: HostPort
    user: Login
    tls: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Jira(Channel):
    """One issue a group of alerts."""

    address: WebAddress
    user: Login
    project: ProjectKey
    issue_type: Text
    resolve_transition: Transition


@dataclass(frozen=True, slots=True)
class OwnChannels:
    """The channels of one team: what it leaves out, it shares with all."""

    pagerduty: bool = False
    slack: bool = False
    email: EmailAddress | None = None
    jira: ProjectKey | None = None
    webhook: bool = False

    def has(self, kind: Kind) -> bool:
        """Whether the team has its own channel of a kind."""
        return bool(getattr(self, kind))


@dataclass(frozen=True, slots=True)
class Level:
    """Whom an unattended alert is told to: the channels, and the team whose own ones of these kinds take it."""

    channels: tuple[Kind, ...]
    team: Team | None = None

    def __post_init__(self) -> None:
        if not self.channels:
            raise FaultError("channels", f"must name at least one of {', '.join(KINDS)}")


@dataclass(frozen=True, slots=True)
class Escalation:
    """The people after those told first; a level that is left out leads to the inbox alone."""

    first: Level | None = None
    second: Level | None = None

    def levels(self) -> dict[str, Level]:
        """Those there are, by the label `escalation` of the alerts."""
        return {label: level for label, level in (("1", self.first), ("2", self.second)) if level}


@dataclass(frozen=True, slots=True)
class Secret:
    """A file that has to be there before a channel can be used."""

    name: str
    """Its name below secrets/."""
    kind: Kind
    content: str
    """What it contains, for a reader."""


@dataclass(frozen=True, slots=True)
class Channels:
    """The whole file; its comments explain each value."""

    pagerduty: PagerDuty
    slack: Channel
    email: Email
    jira: Jira
    webhook: Channel
    teams: dict[Team, OwnChannels]
    escalation: Escalation = Escalation()

    def __post_init__(self) -> None:
        for level in self.escalation.levels().values():
            for kind in level.channels:
                if not self.of(kind).enabled:
                    raise FaultError("escalation", f"tells people by {kind} while {kind}.enabled is false: enable it")
            if level.team and level.team not in self.teams:
                raise FaultError("escalation", f"names the team {level.team}, which is not listed under teams")
        for team, own in self.teams.items():
            for kind in KINDS:
                if own.has(kind) and not self.of(kind).enabled:
                    raise FaultError("teams", f"gives {team} its own {kind} while {kind}.enabled is false: enable it")

    @classmethod
    def load(cls, path: Path = FILE) -> "Channels":
        """Read and check the file.

        Raises:
            ChannelsError: it cannot be read, or a key is unknown, missing, double or has a value that cannot be used.
        """
        return Reader(path, _SCALARS, error=ChannelsError).read(cls)

    def of(self, kind: Kind) -> Channel:
        """The settings of a kind."""
        channel: Channel = getattr(self, kind)
        return channel

    def used(self, severity: Severity) -> tuple[Kind, ...]:
        """The kinds of channels that alerts of a severity go to."""
        return tuple(kind for kind in KINDS if self.of(kind).enabled and severity in self.of(kind).severities)

    def secrets(self) -> Iterator[Secret]:
        """The secrets that the channels need which are enabled."""
        for kind in KINDS:
            if self.of(kind).enabled:
                for owner in (None, *self.teams):
                    if secret := self.secret(kind, owner):
                        yield secret
        for kind in KINDS:
            if self.of(kind).enabled and self.of(kind).own_ca:
                yield Secret(CA, kind, "the certificate of your own authority (PEM)")
                break  # one file for all channels

    def secret(self, kind: Kind, team: Team | None = None) -> Secret | None:
        """The secret of a channel, or of a team's own one; nothing where none is needed.

        Mail and Jira log in as one user for all teams.
        """
        name, content = _SECRETS[kind]
        if kind == "email" and not self.email.user:
            return None
        if team is None:
            return Secret(name, kind, content)
        if kind in ("email", "jira") or not self.teams[team].has(kind):
            return None
        return Secret(f"{team}-{name}", kind, f"{content}, for team {team},")


_SECRETS: Final[Mapping[Kind, tuple[str, str]]] = {
    "pagerduty": ("pagerduty-routing-key", "the integration key of a PagerDuty service"),
    "slack": ("slack-webhook-url", "the address of an incoming webhook of Slack"),
    "email": ("email-password", "the password of the mail server's user"),
    "jira": ("jira-token", "the API token of the Jira user"),
    "webhook": ("webhook-url", "the address that gets Alertmanager's webhook"),
}


def require_secrets(channels: Channels, directory: Path) -> None:
    """Refuse channels that could not send anything.

    Raises:
        ChannelsError: a secret is missing, empty, or no address where it must be one; names the path, not the content.
    """
    for secret in channels.secrets():
        if fault := secret_fault(secret, directory):
            raise ChannelsError(
                f"{secret.kind} is enabled, but {directory / secret.name} {fault}: put {secret.content} there."
            )


def secret_fault(secret: Secret, directory: Path) -> str:
    """What is wrong with the file of a secret; empty where nothing is."""
    path = directory / secret.name
    try:
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return "is missing"
    except (OSError, UnicodeDecodeError) as error:
        return f"cannot be read ({error.strerror if isinstance(error, OSError) else 'it is no text'})"
    if not text:
        return "is empty"
    if secret.name == CA:
        return "" if "-----BEGIN CERTIFICATE-----" in text else "does not contain a certificate in PEM format"
    if secret.kind in ("slack", "webhook") and not re.fullmatch(r"https?://\S+", text):
        return "does not contain an http or https address"
    return ""


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


_SCALARS: Final[Mapping[type, Scalar]] = {
    bool: ("true or false", _truth),
    Kind: (f"one of {', '.join(KINDS)}", matching(re.compile("|".join(KINDS)), str)),  # type: ignore[dict-item]
    Severity: (f"one of {', '.join(SEVERITIES)}", matching(re.compile("|".join(SEVERITIES)), str)),  # type: ignore[dict-item]
    Team: (
        "a name of letters, digits, dashes and underscores",
        matching(re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*"), Team),
    ),
    EmailAddress: (
        "an e-mail address such as alerts@example.com",
        matching(re.compile(r"[^\s@,<>{}]+@[^\s@,<>{}]+"), EmailAddress),
    ),
    HostPort: ("a server and its port, such as smtp.example.com:587", matching(re.compile(r"[\w.-]+:\d+"), HostPort)),
    Login: ("a user name, or '' for none", matching(re.compile(r"[^\s{}]*"), Login)),
    ProjectKey: ("the key of a Jira project, such as OPS", matching(re.compile(r"[A-Z][A-Z0-9_]+"), ProjectKey)),
    Transition: (
        "the name of a step of the workflow, or '' for none",
        matching(re.compile(r"(\w[\w -]*)?"), Transition),
    ),
    Text: ("a text of letters, digits, blanks and dashes", matching(re.compile(r"\w[\w -]*"), Text)),
}
