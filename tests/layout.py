"""What is wrong with how a page of the preview looks, as a browser has laid it out."""

from pathlib import Path

from tests.browser import Browser


def faults_of_both_themes(page: Browser) -> list[str]:
    """Of the page that is open, light and dark."""
    found = []
    for theme in ("light", "dark"):
        page.run(f"show({theme!r})")
        found += [f"{theme}: {fault}" for fault in faults(page)]
    return found


def faults(page: Browser) -> list[str]:
    """Of the page that is open: panels that are empty, cut or on each other, charts that are not drawn."""
    found: list[str] = page.run(Path(__file__).with_suffix(".js").read_text(encoding="utf-8"))
    return found


def panels(page: Browser) -> int:
    """How many the page that is open has."""
    number: int = page.run("document.querySelectorAll('.panel').length")
    return number
