"""`python -m worker`: the command line, without an installed script."""

import sys

from worker.cli import main

sys.exit(main())
