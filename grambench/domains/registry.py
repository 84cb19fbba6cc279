"""The domains: one line each."""

from importlib import import_module
from typing import Any

from grambench.config.spec import Data
from grambench.domains.base import Domain, Source

FOLDERS = {
    "news": "news",
    "knowledge-tracing": "knowledge_tracing",
}


def domain_of(name: str) -> Domain:
    """The domain of a name; does not import torch."""
    domain: Domain = domain_module(name, "domain").DOMAIN
    return domain


def source_of(data: Data) -> Source:
    """The source that `data.source` names."""
    return domain_of(data.domain).sources[data.source]


def domain_module(name: str, module: str) -> Any:
    """A module in a domain's folder."""
    return import_module(f"grambench.domains.{FOLDERS[name]}.{module}")
