"""Where the warehouse is: the address of each of its roles."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import quote, urlsplit, urlunsplit

from stack.secret_files import WAREHOUSE_PASSWORDS
from stack.settings import Settings, SettingsError

Role = Literal["genai", "genai_ingest", "genai_reader"]
OWNER: Final = "genai"
"""Owns the tables of the stack's own database, which has the same name."""
INGEST: Final = "genai_ingest"
READER: Final = "genai_reader"


def address(settings: Settings, role: Role, environment: Mapping[str, str] = os.environ) -> str:
    """The address of the warehouse for one role, with its password from ``secrets/``.

    A database of the user's own keeps the owner that ``USAGE_DATABASE_URL`` names. ``POSTGRES_HOST`` is where the
    stack's own is, where not on this machine.

    Raises:
        SettingsError: the address is none, or the password is missing.
    """
    if not settings.usage_database_url:
        host = environment.get("POSTGRES_HOST") or "127.0.0.1"
        return f"postgresql://{role}:{_password(settings, role)}@{host}:{settings.postgres_port}/{OWNER}"
    parts = urlsplit(settings.usage_database_url)
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname or not parts.username:
        raise SettingsError(
            "USAGE_DATABASE_URL must be postgresql://OWNER:PASSWORD@HOST:PORT/DATABASE, with the owner of the database."
        )
    if role == OWNER:
        return settings.usage_database_url
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{_password(settings, role)}@{place}"))


def _password(settings: Settings, role: Role) -> str:
    path = settings.secrets / WAREHOUSE_PASSWORDS[role]
    try:
        return quote(path.read_text(encoding="utf-8").strip(), safe="")
    except OSError as error:
        raise SettingsError(
            f"The password of the warehouse's role {role} cannot be read from {path}: {error.strerror}. "
            "`make secrets` makes it."
        ) from error
