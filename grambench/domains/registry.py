"""The domains: one line each."""

from importlib import import_module
from typing import Any

from grambench.config.data import Data
from grambench.domains.base import Domain, Source

PACKAGES = {
    "news": "grambench.domains.news",
    "knowledge-tracing": "grambench.domains.knowledge_tracing",
}
"""Domain -> its package."""


def domain_of(name: str) -> Domain:
    """The domain of a name; does not import torch."""
    domain: Domain = domain_module(name, "domain").DOMAIN
    return domain


def source_of(data: Data) -> Source:
    """The source that `data.source` names."""
    return domain_of(data.domain).sources[data.source]


def domain_module(name: str, module: str) -> Any:
    """A module in a domain's folder."""
    return import_module(f"{PACKAGES[name]}.{module}")
