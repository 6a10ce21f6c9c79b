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

    A database of the user's own keeps the owner that ``USAGE_DATABASE_URL`` names. ``POSTGRES_HOST`` is where the
    stack's own is, where not on this machine.

    Raises:
        SettingsError: the address is none, or the password is missing.
    """
    if not settings.usage_database_url:
        return f"postgresql://{role}:{_password(settings, role)}@{_own(settings, environment)}/{OWNER}"
    parts = _users(settings)
    if role == OWNER:
        return settings.usage_database_url
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{_password(settings, role)}@{place}"))


def _own(settings: Settings, environment: Mapping[str, str]) -> str:
    return f"{environment.get('POSTGRES_HOST') or '127.0.0.1'}:{settings.postgres_port}"


def _users(settings: Settings) -> SplitResult:
    parts = urlsplit(settings.usage_database_url)
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname or not parts.username:
        raise SettingsError(
            "USAGE_DATABASE_URL must be postgresql://OWNER:PASSWORD@HOST:PORT/DATABASE, with the owner of the database."
        )
    return parts


def _password(settings: Settings, role: Role) -> str:
    path = settings.secrets / WAREHOUSE_PASSWORDS[role]
    try:
        return quote(path.read_text(encoding="utf-8").strip(), safe="")
    except OSError as error:
        raise SettingsError(
            f"The password of the warehouse's role {role} cannot be read from {path}: {error.strerror}. "
            "`make secrets` makes it."
        ) from error
