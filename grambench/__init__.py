"""grambench: a live benchmark of training strategies for content-based collaborative filtering."""

__version__ = "0.1.0"
