"""`python -m ops.demo`."""

from ops.demo.main import main

raise SystemExit(main())
