"""`python -m scripts.studies.survey`."""

import sys

from scripts.studies.survey.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
