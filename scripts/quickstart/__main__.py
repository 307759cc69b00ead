"""`python -m scripts.quickstart`."""

import sys

from scripts.quickstart.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
