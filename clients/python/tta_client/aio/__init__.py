"""The client for asyncio; the synchronous one, word for word, with `await`."""

from .client import AsyncClient

__all__ = ["AsyncClient"]
