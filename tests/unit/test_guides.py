"""Every page of the documentation: its links lead somewhere, its commands and names exist."""

import re
import shlex
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    path
    for path in sorted(ROOT.rglob("*.md"))
    if not any(part.startswith(".") or part == "documents" for part in path.relative_to(ROOT).parts)
]
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def code(page: Path) -> str:
    """The blocks of code of a page, and what it quotes as code, a piece a line."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```(?:sh)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    indented = re.findall(r"^(?: {4}| {7})(\S.*)$", prose(page), re.MULTILINE)
    return "\n".join([*fenced, *indented, *re.findall(r"`([^`\n]+)`", prose(page))])


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, by GitHub's rule."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_pages_are_found() -> None:
    names = {page.relative_to(ROOT).as_posix() for page in PAGES}
    assert {"README.md", "docs/troubleshooting.md", "instrumentation/README.md"} <= names
    assert not any("site-packages" in name for name in names)


@EACH_PAGE
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_the_readme_leads_to_every_guide() -> None:
    linked = {(ROOT / link).resolve() for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose(ROOT / "README.md"))}
    assert set((ROOT / "docs").glob("*.md")) <= linked


@EACH_PAGE
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in re.findall(r"^make ((?:[\w=./]+ ?)+)$", code(page), re.MULTILINE):
        named = {word for word in command.split() if "=" not in word}
        assert named <= targets, f"{page.name}: make {command}"


@cache
def compose_help(*command: str) -> str:
    """What Docker Compose says of a command; empty where there is none of that name."""
    package = find_spec("compose")
    assert package
    assert package.origin
    program = Path(package.origin).with_name("docker-compose")
    done = subprocess.run([program, *command, "--help"], capture_output=True, text=True, check=False)
    usage = f"docker compose {' '.join(command)}".strip()
    return done.stdout if re.match(rf"\s*Usage:\s+{usage} ", done.stdout) else ""


def options(words: list[str], command: str) -> list[str]:
    """The words after the options of a command; each option must be one of Docker Compose."""
    known = dict(
        re.findall(r"^ +(?:-\w, +)?(--[\w-]+)( [a-zA-Z]+)?(?: |$)", compose_help(*command.split()), re.MULTILINE)
    )
    short = dict(re.findall(r"^ +(-\w), +(--[\w-]+)", compose_help(*command.split()), re.MULTILINE))
    while words and words[0].startswith("-"):
        option = short.get(words[0], words[0])
        assert option in known, f"docker compose {command} {words[0]}"
        words = words[2 if known[option] else 1 :]
    return words


@EACH_PAGE
def test_every_docker_compose_command_exists_with_its_options_and_services(page: Path) -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    for line in re.findall(r"^docker compose (.+)$", code(page), re.MULTILINE):
        command, *rest = options(shlex.split(line), "")
        assert compose_help(command), f"{page.name}: docker compose {line}"
        arguments = options(rest, command)
        named = arguments[:1] if command in ("run", "exec") else arguments
        named = [name for name in named if not name.isupper()]  # SERVER stands for one
        assert set(named) <= set(services), f"{page.name}: docker compose {line}"


@EACH_PAGE
def test_every_module_and_command_of_the_package_that_is_named_exists(page: Path) -> None:
    for module in re.findall(r"python3? -m ((?:stack|demo|tests)[\w.]*)", code(page)):
        assert find_spec(module), f"{page.name}: {module}"
    program = Path(sys.executable).with_name("genai-observability")
    for command in set(re.findall(r"genai-observability ([a-z]+)", code(page))):
        done = subprocess.run([program, command, "--help"], capture_output=True, check=False)
        assert done.returncode == 0, f"{page.name}: genai-observability {command}"


def test_how_late_and_how_long_is_as_troubleshooting_says() -> None:
    text = (ROOT / "docs/troubleshooting.md").read_text()
    prometheus = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())["storage"]["tsdb"]
    limits = yaml.safe_load((ROOT / "loki/config.yaml").read_text())["limits_config"]
    jaeger = yaml.safe_load((ROOT / "jaeger/config.yaml").read_text())["extensions"]["jaeger_storage"]["backends"]
    assert (prometheus["out_of_order_time_window"], limits["reject_old_samples_max_age"]) == ("1d", "168h")
    assert "Prometheus takes samples up to a day late, VictoriaLogs lines up to 14 days, Loki up to 7" in text
    assert (jaeger["disk"]["badger"]["ttl"]["spans"], limits["retention_period"]) == ("168h", "336h")
    assert "traces older than 7 days, log lines older than 14" in text
