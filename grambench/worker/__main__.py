"""`python -m grambench.worker`."""

import sys

from grambench.worker.main import main

sys.exit(main(sys.argv[1:]))
