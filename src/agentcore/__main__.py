from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; a failure is one line on stderr and never a traceback."""
    from agentcore.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
