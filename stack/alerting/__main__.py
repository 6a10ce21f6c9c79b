"""Writes alertmanager.yml and the address in its messages: ``python -m stack.alerting``.

With ``--check`` it only says whether they are up to date.
"""

import argparse
import sys
from pathlib import Path

from stack.alerting.configuration import alertmanager_yml, inbox_tmpl
from stack.channels import FILE, Channels, require_secrets
from stack.files import bring_up_to_date
from stack.reader import FileError
from stack.settings import Settings, SettingsError
from stack.thresholds import FILE as THRESHOLDS
from stack.thresholds import Thresholds


def main(arguments: list[str] | None = None) -> int:
    """Write or check the files; 1 where the channels are faulty, lack a secret or, checking, where a file is stale.

    A check needs no secrets: it also runs where there are none, such as in continuous integration.
    """
    parser = argparse.ArgumentParser(prog="python -m stack.alerting", description="Writes alertmanager.yml.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a file is not up to date")
    parser.add_argument("--channels", type=Path, default=FILE, help="channels to use (default: %(default)s)")
    parser.add_argument(
        "--thresholds", type=Path, default=THRESHOLDS, help="whose `links` to use (default: %(default)s)"
    )
    parser.add_argument("--secrets", type=Path, help="where the secrets are (default: secrets)")
    parser.add_argument(
        "--output", type=Path, help="the file to write, beside templates/ (default: alertmanager/alertmanager.yml)"
    )
    options = parser.parse_args(arguments)
    try:
        settings = Settings.load()
        path = options.output or settings.root / "alertmanager" / "alertmanager.yml"
        channels = Channels.load(options.channels)
        if not options.check:
            require_secrets(channels, options.secrets or settings.secrets)
        inbox = inbox_tmpl(Thresholds.load(options.thresholds).links.inbox)
        wanted = {path: alertmanager_yml(channels), path.parent / "templates" / "inbox.tmpl": inbox}
        return bring_up_to_date(wanted, check=options.check)
    except (SettingsError, FileError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
