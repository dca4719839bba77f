"""`python -m heapwatch`: the same as the `heapwatch` command."""

import sys

from heapwatch.cli import main

if __name__ == "__main__":
    sys.exit(main())
