"""The client of tta_service for asyncio, from which the one for threads is generated."""

from .client import AsyncClient

__all__ = ["AsyncClient"]
