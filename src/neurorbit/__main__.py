"""`python -m neurorbit`: the command line."""

import sys

from neurorbit.engine.cli.main import main

sys.exit(main())
