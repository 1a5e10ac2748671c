"""The methods for those who run the service."""

from __future__ import annotations

from ..serving.pipeline.switches import StrategySwitches
from ..wire.v1 import tta_pb2 as pb
from .context import Context


class OperatorMethods:
    """What counts for all callers of this server."""

    def __init__(self, switches: StrategySwitches) -> None:
        self._switches = switches

    async def SetStrategyState(
        self, request: pb.SetStrategyStateRequest, context: Context
    ) -> pb.SetStrategyStateResponse:
        """Switch a strategy off or on. Raises `UnknownStrategy`, and `BadParameters` for zero-shot."""
        self._switches.set(request.name, request.enabled)
        return pb.SetStrategyStateResponse(disabled=sorted(self._switches.disabled))
