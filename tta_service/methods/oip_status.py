"""What clients of the Open Inference Protocol may ask while the model still loads."""

from __future__ import annotations

from collections.abc import Callable

from ..wire.oip.models import has_model
from ..wire.v1 import open_inference_pb2 as oip
from .context import Context


class ServerStatus:
    """Whether the server lives and is ready, which `serving()` says."""

    def __init__(self, serving: Callable[[], bool]) -> None:
        self.serving = serving

    async def ServerLive(self, request: oip.ServerLiveRequest, context: Context) -> oip.ServerLiveResponse:
        """True: it answers."""
        return oip.ServerLiveResponse(live=True)

    async def ServerReady(self, request: oip.ServerReadyRequest, context: Context) -> oip.ServerReadyResponse:
        """The health of the device."""
        return oip.ServerReadyResponse(ready=self.serving())

    async def ModelReady(self, request: oip.ModelReadyRequest, context: Context) -> oip.ModelReadyResponse:
        """Whether the model can answer; false for one that does not exist."""
        return oip.ModelReadyResponse(ready=self.serving() and has_model(request.name, request.version))
