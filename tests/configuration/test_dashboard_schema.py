"""The dashboards' JSON is what Grafana's published types say a dashboard is."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stack.dashboards import dashboards
from stack.dashboards.queries import panels
from tests.npm import installed, toolchain

_SCHEMA = Path(__file__).parents[1] / "schema"


def _faults(pages: Mapping[str, dict[str, Any]], folder: Path) -> list[str]:
    """What the compiler says of the JSON as values of those types: the dashboard, the panel, the fault."""
    node, npm = toolchain()
    modules = installed(_SCHEMA, npm) / "node_modules"
    (folder / "node_modules").symlink_to(modules)
    shutil.copy(_SCHEMA / "types.ts", folder)
    where: dict[tuple[str, int], str] = {}
    for name, page in pages.items():
        lines = ['import type { Page, Panels } from "./types";']
        rest = {key: value for key, value in page.items() if key != "panels"}
        for title, kind, value in (
            ("", "Page", rest),
            *((panel["title"], f'Panels["{panel["type"]}"]', panel) for panel in page["panels"]),
        ):
            lines.append(f"export const value{len(lines)}: {kind} = {json.dumps(value)};")
            where[Path(name).stem, len(lines)] = f"{name}, {title}" if title else name
        (folder / f"{Path(name).stem}.ts").write_text("\n".join(lines), encoding="utf-8")
    done = subprocess.run(
        [node, str(modules / "typescript/bin/tsc"), "--noEmit", "--strict", "--skipLibCheck", "--target", "es2022",
         "--lib", "es2022", "--module", "esnext", "--moduleResolution", "bundler",
         *(f"{Path(name).stem}.ts" for name in pages)],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.findall(r"^(\S+)\.ts\((\d+),\d+\): error (.*)$", done.stdout, flags=re.MULTILINE)
    assert done.returncode == 0 or found, done.stdout + done.stderr
    return [f"{where[name, int(line)]}: {what}" for name, line, what in found]


def test_every_dashboard_is_what_the_published_types_say(tmp_path: Path) -> None:
    assert _faults(dashboards(), tmp_path) == []


def test_a_fault_is_named_with_its_dashboard_and_panel(tmp_path: Path) -> None:
    page = json.loads(json.dumps(dashboards()["overview.json"]))
    first, second, *_ = panels(page)
    first["options"]["colorMode"] = "rainbow"
    second["fieldConfig"]["defaults"]["units"] = "s"
    page["refresh"] = 30
    whole, colour, unit = sorted(_faults({"overview.json": page}, tmp_path), key=len)
    assert whole.startswith("overview.json: ")
    assert "'number' is not assignable to type 'string'" in whole
    assert colour.startswith(f"overview.json, {first['title']}: ")
    assert "rainbow" in colour
    assert unit.startswith(f"overview.json, {second['title']}: ")
    assert '"units"' in unit
