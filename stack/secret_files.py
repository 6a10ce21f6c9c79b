"""Makes the secrets that can be made and lists those that only the user has: ``python -m stack.secret_files``."""

import secrets
import sys
from pathlib import Path

from stack.channels import Channels, ChannelsError, secret_fault
from stack.settings import Settings, SettingsError

GRAFANA_PASSWORD = "grafana-password"  # noqa: S105 -- the name of a file
WAREHOUSE_PASSWORDS = {
    "genai": "warehouse-owner-password",
    "genai_ingest": "warehouse-ingest-password",
    "genai_reader": "warehouse-reader-password",
}
"""The file of the password of each role of the warehouse: its owner, the service that writes, and all that read."""


def main() -> int:
    """Make and list the secrets; 1 where the folder or the channels cannot be used."""
    try:
        settings = Settings.load()
        report = prepare(Channels.load(), settings.secrets)
    except (SettingsError, ChannelsError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(report)
    return 0


def prepare(channels: Channels, directory: Path) -> str:
    """Make the passwords of the stack itself, once; returns what is there and what the user has to put where.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    password = directory / GRAFANA_PASSWORD
    lines = [f"{password}: {'made' if make_password(password) else 'there'}, the password of Grafana's admin"]
    for role, name in WAREHOUSE_PASSWORDS.items():
        state = "made" if make_password(directory / name) else "there"
        lines.append(f"{directory / name}: {state}, the password of the warehouse's role {role}")
    for secret in channels.secrets():
        fault = secret_fault(secret, directory)
        state = f"{fault}: put {secret.content} there" if fault else "there"
        lines.append(f"{directory / secret.name}: {state}")
    if not channels.secrets():
        lines.append("No channel of stack/channels.yaml is enabled: alerts go to the inbox alone and need no secret.")
    return "\n".join(lines) + "\n"


def make_password(path: Path) -> bool:
    """Make a password, once, readable by its owner alone; whether it was made now.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists():
        return False
    path.touch(mode=0o600)
    path.write_text(secrets.token_urlsafe(18), encoding="utf-8")
    return True


if __name__ == "__main__":
    sys.exit(main())
