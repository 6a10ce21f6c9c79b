"""Where the warehouse is: the address of each of its roles."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit, urlunsplit

from stack.secret_files import WAREHOUSE_PASSWORDS
from stack.settings import Settings, SettingsError

Role = Literal["genai", "genai_ingest", "genai_reader"]
OWNER: Final = "genai"
"""Owns the tables of the stack's own database, which has the same name."""
INGEST: Final = "genai_ingest"
READER: Final = "genai_reader"


_ENCRYPTED: Final = ("require", "verify-ca", "verify-full")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the warehouse is, without who asks: for a program that takes no whole address."""

    address: str
    """Host and port."""
    database: str
    sslmode: str
    """One of libpq's modes that promise something: require, verify-ca, verify-full; else disable."""


def whereabouts(settings: Settings, environment: Mapping[str, str] = os.environ) -> Place:
    """Where the stack's own warehouse is, or the user's.

    Raises:
        SettingsError: ``USAGE_DATABASE_URL`` is no address of a database.
    """
    if not settings.usage_database_url:
        return Place(address=_own(settings, environment), database=OWNER, sslmode="disable")
    parts = _users(settings)
    where = parts.netloc.rpartition("@")[2]
    mode = dict(parse_qsl(parts.query)).get("sslmode", "")
    return Place(
        address=where if parts.port else f"{where}:5432",
        database=unquote(parts.path.strip("/")),
        sslmode=mode if mode in _ENCRYPTED else "disable",
    )


def address(settings: Settings, role: Role, environment: Mapping[str, str] = os.environ) -> str:
    """The address of the warehouse for one role, with its password from ``secrets/``.

    A database of the user's own keeps the owner that ``USAGE_DATABASE_URL`` names. ``WAREHOUSE_HOST`` is where the
    stack's own is, where not on this machine.

    Raises:
        SettingsError: the address is none, or the password is missing.
    """
    if not settings.usage_database_url:
        return f"postgresql://{_login(settings, role)}@{_own(settings, environment)}/{OWNER}"
    parts = _users(settings)
    if role == OWNER:
        if not parts.username:
            raise SettingsError("USAGE_DATABASE_URL must name the owner of the database: postgresql://OWNER:PASSWORD@…")
        return settings.usage_database_url
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{_login(settings, role)}@{place}"))


def _login(settings: Settings, role: Role) -> str:
    return f"{role}:{quote(password(settings, role), safe='')}"


def _own(settings: Settings, environment: Mapping[str, str]) -> str:
    return f"{environment.get('WAREHOUSE_HOST') or '127.0.0.1'}:{settings.postgres_port}"


def _users(settings: Settings) -> SplitResult:
    try:
        parts = urlsplit(settings.usage_database_url)
        known = parts.scheme in ("postgresql", "postgres") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is none, a bracket in the password
        known = False
    if not known:
        raise SettingsError(
            "USAGE_DATABASE_URL must be postgresql://OWNER:PASSWORD@HOST:PORT/DATABASE, with the owner of the "
            "database; signs other than letters and digits in the password as %40 and so on."
        )
    return parts


def password(settings: Settings, role: Role) -> str:
    """The password of a role, from ``secrets/``.

    Raises:
        SettingsError: it is missing, empty or no text.
    """
    path = settings.secrets / WAREHOUSE_PASSWORDS[role]
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The password of the warehouse's role {role} cannot be read from {path}: "
            f"{getattr(error, 'strerror', 'it is no text')}. `make secrets` makes it."
        ) from error
    if not text or "\n" in text:
        raise SettingsError(f"{path} must have the password of the warehouse's role {role}, in one line.")
    return text


def without_owner(url: str) -> str:
    """The address of a database without who owns it, for programs that only read."""
    parts = urlsplit(url)
    # libpq takes user and password there, too
    options = "&".join(each for each in parts.query.split("&") if not each.startswith(("user=", "password=")))
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=options))
