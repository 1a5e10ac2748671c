"""What clients of the Open Inference Protocol may ask while the model still loads, and what they ask in vain."""

from __future__ import annotations

from collections.abc import Callable

from ..wire.oip.models import has_model
from ..wire.v1 import open_inference_pb2 as oip
from .context import Context

REFUSED = {  # methods of Triton's that clients may know, and why there are none
    "RepositoryModelLoad": "models are not loaded by calls here; every strategy is one",
    "RepositoryModelUnload": "models are not unloaded by calls here; every strategy is one",
    "SystemSharedMemoryStatus": "this server reads no shared memory",
    "SystemSharedMemoryRegister": "this server reads no shared memory",
    "CudaSharedMemoryStatus": "this server reads no shared memory",
    "CudaSharedMemoryRegister": "this server reads no shared memory",
    "TraceSetting": "traces are set by the settings of this server",
    "LogSettings": "the log is set by the settings of this server",
}


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
