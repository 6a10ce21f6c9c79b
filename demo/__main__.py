"""``python -m demo``: see ``demo.guide``."""

import sys


def main() -> int:
    """Runs the demonstration; Ctrl-C ends it with a sentence also while the modules are still being loaded."""
    try:
        from demo.guide import main as guide

        return guide()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted: nothing of the demo is left running.\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
