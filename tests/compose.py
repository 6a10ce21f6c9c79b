"""What Docker Compose reads of this repository, in a folder of a test's own."""

import shutil
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


def compose_files(folder: Path) -> Path:
    """Copies them into the folder, without the .env and the override that a developer may have; returns it."""
    for name in ("compose.yaml", "postgres/compose.yaml"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(_ROOT / name, folder / name)
    return folder
