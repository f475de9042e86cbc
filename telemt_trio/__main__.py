"""``python -m telemt_trio`` is ``telemt-trio``."""

import sys

from telemt_trio.cli import main

sys.exit(main())
