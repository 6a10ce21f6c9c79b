"""Run by Python when it starts, in the programs that ``genai-observability run`` starts: see ``_commands/run.py``.

Nothing happens until the program imports a client library, as most Python processes never do. Standard library only,
and syntax of any Python 3: the program may run under another interpreter than this package.
"""

import atexit
import contextlib
import importlib.machinery
import importlib.util
import os
import sys
from typing import Any, Iterable, List  # noqa: UP035 - of any Python 3

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib would cost each start 10 ms


class _Watch:
    """Finds the client libraries like any other module, and has the package start once one is imported."""

    def __init__(self, libraries: Iterable[str]) -> None:
        self._libraries = set(libraries)
        self.seen = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG002
        if name not in self._libraries:
            return None
        self._libraries.discard(name)  # so that the search does not end here again
        try:
            spec: Any = importlib.util.find_spec(name)
        finally:
            self._libraries.add(name)
        execute = getattr(getattr(spec, "loader", None), "exec_module", None)
        if execute is None:
            return spec

        def execute_and_start(module: Any) -> None:
            execute(module)
            self.seen = True
            _start()

        spec.loader.exec_module = execute_and_start
        return spec


def _start() -> None:
    try:
        from genai_observability._commands.run import start

        start()
    except Exception as error:  # whatever it is, the program goes on
        reason = f"{type(error).__name__}: {error}"
        _say(f"Model calls are not recorded: genai-observability cannot be loaded into {sys.executable}: {reason}.")


def _say(sentence: str) -> None:
    with contextlib.suppress(Exception):  # there is no standard error
        sys.stderr.write(sentence + "\n")


def _say_if_unused(watch: _Watch, libraries: List[str]) -> None:  # noqa: UP006 - likewise
    if not watch.seen and not _had_children():
        known = ", ".join(libraries)
        _say(f"genai-observability: nothing was recorded and nothing changed: the program imported none of: {known}.")


def _had_children() -> bool:
    """Whether this process had children, which may have made the calls: then nobody knows here."""
    try:
        import resource

        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss > 0
    except Exception:  # Windows
        return True


def _run_the_other_sitecustomize() -> None:
    """This file hides the one that the installation may have."""
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


def _main() -> None:
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _HERE]  # noqa: PTH100
    process, _, names = os.environ.get("GENAI_OBSERVABILITY_RUN", "").partition(":")
    libraries = [name for name in names.split(",") if name]
    if libraries:
        watch = _Watch(libraries)
        sys.meta_path.insert(0, watch)
        if process == str(os.getpid()):
            atexit.register(_say_if_unused, watch, libraries)
    _run_the_other_sitecustomize()


_main()
