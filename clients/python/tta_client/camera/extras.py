"""The packages of the client's extras, and how to install one that is missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def import_package(package: str, name: str, purpose: str, extra: str = "camera") -> Any:
    """The package, or OSError that says how to install what the `purpose` needs."""
    try:
        return import_module(package)
    except ImportError:
        raise OSError(describe_missing(name, purpose, extra)) from None


def describe_missing(name: str, purpose: str, extra: str = "camera") -> str:
    """How to install the extra: from a checkout, because no package index has the client."""
    return f"{purpose} needs {name}: pip install './clients/python[{extra}]' in a checkout of tta_service"
