"""`python -m watcher`."""

import sys

from watcher.main import main

if __name__ == "__main__":
    sys.exit(main())
