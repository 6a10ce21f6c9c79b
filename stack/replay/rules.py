"""The rules that alerts need: of the recordings, many are for dashboards only, and cost half the time of a replay."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import yaml

_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


@contextmanager
def without_unused_recordings(files: Iterable[Path]) -> Iterator[Sequence[Path]]:
    """The same files of rules, as long as the block lasts, without the recordings that no alert is made of."""
    documents = {file.name: yaml.safe_load(file.read_text(encoding="utf-8")) for file in files}
    groups = [group for document in documents.values() for group in document["groups"]]
    wanted = _wanted([rule for group in groups for rule in group["rules"]])
    for group in groups:
        group["rules"] = [rule for rule in group["rules"] if "alert" in rule or rule["record"] in wanted]
    with TemporaryDirectory() as folder:
        kept = [Path(folder) / name for name in documents]
        for path, document in zip(kept, documents.values(), strict=True):
            path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        yield kept


def _wanted(rules: Sequence[dict[str, Any]]) -> set[str]:
    """Names of the recordings that alerts use, and of those that these use in turn."""
    wanted: set[str] = set()
    reached = [rule for rule in rules if "alert" in rule]
    while reached:
        names = {name for rule in reached for name in _NAME.findall(rule["expr"])} - wanted
        wanted |= names
        reached = [rule for rule in rules if rule.get("record") in names]
    return wanted
