"""`python -m ops.supervisor`."""

from ops.supervisor.main import main

raise SystemExit(main())
