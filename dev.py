#!/usr/bin/env python3
"""Sets up all that AgentCore needs, then runs it: the one thing to start after a clone.

This file is read by whatever `python3` is, so it stays in the Python that all of them share.
"""

import os
import sys

if sys.version_info < (3, 8):
    sys.exit("dev: start this with Python 3.8 or newer; AgentCore itself needs 3.11 or newer")

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from devtools.commands import main

if __name__ == "__main__":
    main(sys.argv[1:])
