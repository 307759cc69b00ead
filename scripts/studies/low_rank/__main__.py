"""`python -m scripts.studies.low_rank`."""

import sys

from scripts.studies.low_rank.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
