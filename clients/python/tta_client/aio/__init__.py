"""The client for asyncio: the synchronous one with `await`."""

from .client import AsyncClient

__all__ = ["AsyncClient"]
