"""`python -m provisioner`."""

from __future__ import annotations

import sys

from provisioner.main import main

sys.exit(main())
