"""Settings of all tests; its folder is on the path, so that tests find the helpers beside it."""

from hypothesis import settings

settings.register_profile("grambench", deadline=None)  # a slow machine is no failure
settings.load_profile("grambench")
