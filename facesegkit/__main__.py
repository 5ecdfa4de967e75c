"""`python -m facesegkit` is the `facesegkit` command."""

import sys

from facesegkit.cli.start import main

if __name__ == "__main__":
    sys.exit(main())
