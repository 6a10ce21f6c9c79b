"""Alerts, and of the recordings those that alerts are made of: the others only cost time."""

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


def names_in(text: str) -> set[str]:
    """Whatever could be the name of a rule in queries."""
    return set(_NAME.findall(text))


def needed(files: Iterable[Path], folder: Path, *, also: Collection[str] = ()) -> list[Path]:
    """Copies of files of rules, in the folder, without the recordings that no alert needs and that are not named."""
    documents = {file.name: yaml.safe_load(file.read_text(encoding="utf-8")) for file in files}
    groups = [group for document in documents.values() for group in document["groups"]]
    rules = [rule for group in groups for rule in group["rules"]]
    alerts = [rule for rule in rules if "alert" in rule]
    wanted = _with_their_parts(set(also) | _uses(alerts), rules)
    for group in groups:
        group["rules"] = [rule for rule in group["rules"] if "alert" in rule or rule["record"] in wanted]
    copies = [folder / name for name in documents]
    for copy, document in zip(copies, documents.values(), strict=True):
        copy.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return copies


def _with_their_parts(names: set[str], rules: Sequence[dict[str, Any]]) -> set[str]:
    """The names, and those of the recordings that these are made of, and so on."""
    wanted: set[str] = set()
    while names:
        wanted |= names
        names = _uses([rule for rule in rules if rule.get("record") in names]) - wanted
    return wanted


def _uses(rules: Sequence[dict[str, Any]]) -> set[str]:
    """What the rules name: in their queries, and in those of an alert's texts."""
    texts = [text for rule in rules for text in (rule["expr"], *rule.get("annotations", {}).values())]
    return {name for text in texts for name in names_in(text)}
