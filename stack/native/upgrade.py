"""What an earlier version has left behind."""

from stack.settings import Settings


def loki_data(settings: Settings) -> str | None:
    """A sentence for the user on the logs of a Loki that VictoriaLogs has replaced; nothing where there are none."""
    folder = settings.state / "data" / "loki"
    if settings.logs == "loki" or not (folder.is_dir() and any(folder.iterdir())):
        return None
    return (
        f"Logs that Loki has kept here are in {folder}: they stay until you delete that folder (`make down VOLUMES=1` "
        "does, with all other data), and `LOGS=loki make up` reads and goes on with them where a program loki is on "
        "the PATH; its own retention then deletes those older than 14 days."
    )
