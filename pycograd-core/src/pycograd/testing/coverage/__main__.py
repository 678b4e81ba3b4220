"""`python -m pycograd.testing.coverage FOLDER` writes the coverage page into a folder."""

import sys
from pathlib import Path

from pycograd.testing.coverage.page import write

if __name__ == "__main__":
    write(Path(sys.argv[1]))
