"""The methods that put, get, list and delete label sets."""

from __future__ import annotations

from ..core.errors import TTAError
from ..serving.text.label_sets import LabelSets
from ..wire.catalogue import make_label_set, make_label_set_info, paginate
from ..wire.field_paths import FieldOrigins, field_prefix
from ..wire.identity import current_caller
from ..wire.requests import parse_label_set
from ..wire.server_info import ServerInfo
from ..wire.v1 import tta_pb2 as pb
from .audit import Audit
from .context import Context
from .permits import NeedsPermits, with_permit


class LabelSetMethods(NeedsPermits):
    """A label set is encoded once and then named by its id, by the owners who put it."""

    def __init__(self, label_sets: LabelSets, server_info: ServerInfo, audit: Audit) -> None:
        self._label_sets, self._server_info, self._audit = label_sets, server_info, audit

    async def PutLabelSet(self, request: pb.PutLabelSetRequest, context: Context) -> pb.PutLabelSetResponse:
        """Encode and store a label set."""
        labels = parse_label_set(request.label_set, self._server_info, "label_set")
        caller = current_caller()
        try:
            cached = await self._label_sets.put(caller.owner, labels, caller.client)
            return pb.PutLabelSetResponse(info=make_label_set_info(cached))
        except TTAError as error:
            raise FieldOrigins(image="", labels="label_set", options="").locate(error) from error

    async def GetLabelSet(self, request: pb.GetLabelSetRequest, context: Context) -> pb.GetLabelSetResponse:
        """The names, templates and sentences of a label set. Raises `UnknownLabels`."""
        with field_prefix("id", whole=True):
            cached = self._label_sets.find(current_caller().owner, request.id)
        return pb.GetLabelSetResponse(info=make_label_set_info(cached), label_set=make_label_set(cached.labels))

    @with_permit
    async def ListLabelSets(self, request: pb.ListLabelSetsRequest, context: Context) -> pb.ListLabelSetsResponse:
        """One page of the caller's label sets, by id."""
        owned = self._label_sets.list(current_caller().owner)
        page, token = paginate(owned, lambda one: one.labels.id, request.page_size, request.page_token)
        return pb.ListLabelSetsResponse(infos=map(make_label_set_info, page), next_page_token=token)

    async def DeleteLabelSet(self, request: pb.DeleteLabelSetRequest, context: Context) -> pb.DeleteLabelSetResponse:
        """Delete a label set. Raises `UnknownLabels`."""
        async with self._audit.change("label_set_deleted", label_set=request.id):
            with field_prefix("id", whole=True):
                self._label_sets.delete(current_caller().owner, request.id)
        return pb.DeleteLabelSetResponse()
