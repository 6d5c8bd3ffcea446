"""`python -m stylex` is the console script `stylex`."""

import sys

from stylex.cli import main

sys.exit(main())
