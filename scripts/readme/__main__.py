"""`python -m scripts.readme`."""

import sys

from scripts.readme.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
