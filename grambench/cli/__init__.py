"""The command line. Until `main` can answer, Ctrl+C ends the process without a traceback of an import."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
