"""`python -m tfprune` is the command `tfprune`."""

import sys

from tfprune.cli import main

if __name__ == "__main__":
    sys.exit(main())
