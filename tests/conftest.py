"""Settings of all tests; its folder is on the path, so that tests find the helpers beside it."""

import signal

from hypothesis import settings

settings.register_profile("grambench", deadline=None)  # a slow machine is no failure
settings.load_profile("grambench")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job; children would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
