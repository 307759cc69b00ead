"""`python -m scripts.studies.structured`."""

import sys

from scripts.studies.structured.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
