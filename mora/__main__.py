"""`python -m mora` is the command `mora`."""

import sys

from mora.cli import main

if __name__ == "__main__":
    sys.exit(main())
