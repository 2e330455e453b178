"""`python -m heartline`."""

import sys

from heartline.start import main

sys.exit(main())
