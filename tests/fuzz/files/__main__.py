"""`python -m tests.fuzz.files`."""

import sys

from .run import main

sys.exit(main())
