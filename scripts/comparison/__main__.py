"""`python -m scripts.comparison`."""

import sys

from scripts.comparison.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
