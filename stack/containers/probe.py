"""Asks whether a server is ready: `python -m stack.containers.probe http://collector:13133/`. The exit code tells."""

from __future__ import annotations

import sys

from stack.native.process import is_healthy


def main() -> int:
    """0 where the address answers 200 within three seconds, else 1."""
    if len(sys.argv) != 2:
        sys.stderr.write("One address is needed, such as http://127.0.0.1:8093/healthz\n")
        return 2
    return 0 if is_healthy(sys.argv[1], timeout=3.0) else 1


if __name__ == "__main__":
    sys.exit(main())
