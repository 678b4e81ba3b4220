"""`python -m pycograd`: the command line."""

import sys

from pycograd.cli import main

if __name__ == "__main__":
    sys.exit(main())
