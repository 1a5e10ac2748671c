"""The service's engine without a server: `load` a model, open a session, classify, teach, save."""

from .answers import Answer, Score
from .blocking import Model, Session, load, restore
from .model import AsyncModel, load_async
from .session import AsyncSession

__all__ = ["Answer", "AsyncModel", "AsyncSession", "Model", "Score", "Session", "load", "load_async", "restore"]
