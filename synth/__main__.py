"""`python -m synth` is `voice-synth`."""

from __future__ import annotations

import sys

from synth.cli import main

sys.exit(main())
