"""`python -m salzoo`."""

import sys

from salzoo.cli import main

sys.exit(main())
