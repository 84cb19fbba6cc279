"""NVML's own messages in words."""

_WORDS = {
    "NVML Shared Library Not Found": "no NVIDIA driver is installed here",
    "Driver Not Loaded": "the NVIDIA driver is installed, but not loaded",
    "RM has detected an NVML/RM version mismatch": "the NVIDIA driver was updated since the machine started",
    "Insufficient Permissions": "the NVIDIA driver does not let this user read it",
    "Not Supported": "this GPU does not report it",
    "GPU is lost": "the NVIDIA driver has lost this GPU",
    "Unknown Error": "the NVIDIA driver failed to read it",
}


def in_words(reason: str) -> str:
    """The reason for a missing reading as a user would say it; one that NVML did not give stays as it is."""
    return _WORDS.get(reason.rstrip("."), reason)
