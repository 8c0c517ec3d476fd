"""`python -m worker.cli`: the same command line."""

import sys

from worker.cli import main

sys.exit(main())
