"""`python -m uploader`."""

import sys

from uploader.main import main

if __name__ == "__main__":
    sys.exit(main())
