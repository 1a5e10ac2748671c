"""The methods for operators."""

from __future__ import annotations

from dataclasses import asdict

from ..core.errors import BadRequest
from ..serving.persistence.erasing import OwnerEraser
from ..serving.pipeline.switches import StrategySwitches
from ..wire.keys import check_owner
from ..wire.v1 import tta_pb2 as pb
from .audit import Audit
from .context import Context


class OperatorMethods:
    """What counts for all callers of this server, or is about another one."""

    def __init__(self, switches: StrategySwitches, eraser: OwnerEraser, audit: Audit) -> None:
        self._switches, self._eraser, self._audit = switches, eraser, audit

    async def SetStrategyState(
        self, request: pb.SetStrategyStateRequest, context: Context
    ) -> pb.SetStrategyStateResponse:
        """Switch a strategy off or on. Raises `UnknownStrategy`, and `BadParameters` for zero-shot."""
        async with self._audit.change(
            f"strategy_{'enabled' if request.enabled else 'disabled'}", strategy=request.name
        ):
            self._switches.set(request.name, request.enabled)
        return pb.SetStrategyStateResponse(disabled=sorted(self._switches.disabled))

    async def DeleteOwner(self, request: pb.DeleteOwnerRequest, context: Context) -> pb.DeleteOwnerResponse:
        """Delete all that is kept of an owner. Raises `NotReady` for a store that does not answer: ask again then."""
        try:
            owner = check_owner(request.owner)
        except ValueError as error:
            raise BadRequest(str(error), "owner") from None
        async with self._audit.change("owner_deleted", deleted=owner) as about:
            here = self._eraser.erase_here(owner)
            about |= asdict(here)
        async with self._audit.change("owner_deleted_from_store", deleted=owner) as about:
            about["stored"] = stored = await self._eraser.erase_stored(owner)
        return pb.DeleteOwnerResponse(stored=stored, **asdict(here))
