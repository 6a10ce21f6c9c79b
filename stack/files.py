"""Files that are written whole or not at all, and folders that are deleted, or a reason is given."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that a reader finds the old text or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def delete_folder(path: Path) -> None:
    """Deletes a folder with all that is in it; raises OSError, which names the first file that cannot be deleted."""
    if path.exists():
        shutil.rmtree(path)


def bring_up_to_date(wanted: Mapping[Path, str | None], *, check: bool) -> int:
    """Write the generated files that are not as they should be; ``None`` for one that should not be there.

    Args:
        wanted: What each file should say.
        check: Change nothing, and name on standard error what is stale.

    Returns:
        1 where a check found something stale, else 0.
    """
    stale = [path for path, text in wanted.items() if _text(path) != text]
    for path in stale:
        text = wanted[path]
        if check:
            sys.stderr.write(f"{path} is not up to date: run `make generate`.\n")
        elif text is None:
            path.unlink()
        else:
            write_whole(path, text)
    return 1 if check and stale else 0


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
