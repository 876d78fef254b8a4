"""``python -m heavyball_dynamics`` is the command ``heavyball``."""

import sys

from heavyball_dynamics.cli import main

if __name__ == "__main__":
    sys.exit(main())
