"""`python -m grambench`: the same as the command `grambench`."""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # the launcher has it ignored while Python starts

from grambench.cli.app import main  # noqa: E402

if __name__ == "__main__":
    main()
