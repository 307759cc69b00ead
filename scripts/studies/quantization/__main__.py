"""`python -m scripts.studies.quantization`."""

import sys

from scripts.studies.quantization.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
