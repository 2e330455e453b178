"""`python -m heartline`."""

import sys

from heartline.main import main

sys.exit(main())
