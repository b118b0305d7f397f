"""The command: `python -m actors.testing.stress --rounds 1000 --seed 0`."""

import sys

from actors.testing.stress.command import main

if __name__ == "__main__":
    sys.exit(main())
