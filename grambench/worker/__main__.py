"""`python -m grambench.worker`."""

import sys

from grambench.worker.main import main

if sys.argv[1] == "preload":
    from grambench.worker.preload import serve

    sys.exit(serve(sys.argv[2:]))
if sys.argv[1] == "export":
    from grambench.worker.export import main as export

    sys.exit(export(sys.argv[2:]))
if sys.argv[1] == "forecast":
    from grambench.worker.dry_run import main as forecast

    sys.exit(forecast(sys.argv[2:]))
sys.exit(main(sys.argv[1:]))
