"""`python -m ops.simulator`, which is what `./run simulator` starts."""

from __future__ import annotations

import sys

from ops.simulator.main import main

sys.exit(main())
