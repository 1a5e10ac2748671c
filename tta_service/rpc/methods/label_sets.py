"""The methods that put, get, list and delete label sets."""

from __future__ import annotations

from ...core.errors import TTAError
from ...serving.text.cache import TextSpaceCache
from ...wire.catalogue import make_label_set_info, paginate
from ...wire.field_paths import FieldOrigins, field_prefix
from ...wire.requests import parse_label_set
from ...wire.server_info import ServerInfo
from ...wire.v1 import tta_pb2 as pb
from ..interceptor import Context
from ..v1 import tta_pb2_grpc as wire


class LabelSetMethods(wire.AdaptationServiceServicer):
    """A label set is encoded once and then named by its id."""

    def __init__(self, text_spaces: TextSpaceCache, server_info: ServerInfo) -> None:
        self._text_spaces, self._server_info = text_spaces, server_info

    async def PutLabelSet(self, request: pb.PutLabelSetRequest, context: Context) -> pb.PutLabelSetResponse:
        """Encode and store a label set."""
        labels = parse_label_set(request.label_set, self._server_info, "label_set")
        try:
            return pb.PutLabelSetResponse(info=make_label_set_info(await self._text_spaces.put(labels)))
        except TTAError as error:
            raise FieldOrigins(image="", labels="label_set", options="").locate(error) from error

    async def GetLabelSet(self, request: pb.GetLabelSetRequest, context: Context) -> pb.GetLabelSetResponse:
        """The names and templates of a label set. Raises `UnknownLabels`."""
        with field_prefix("id", whole=True):
            cached = self._text_spaces.find(request.id)
        names, templates, duplicates = cached.labels.names, cached.labels.templates, cached.labels.allow_duplicates
        labels = pb.LabelSet(names=names, templates=templates, allow_duplicates=duplicates)
        return pb.GetLabelSetResponse(info=make_label_set_info(cached), label_set=labels)

    async def ListLabelSets(self, request: pb.ListLabelSetsRequest, context: Context) -> pb.ListLabelSetsResponse:
        """One page of the stored label sets, by id."""
        page, token = paginate(
            self._text_spaces.list(), lambda one: one.labels.id, request.page_size, request.page_token
        )
        return pb.ListLabelSetsResponse(infos=map(make_label_set_info, page), next_page_token=token)

    async def DeleteLabelSet(self, request: pb.DeleteLabelSetRequest, context: Context) -> pb.DeleteLabelSetResponse:
        """Delete a label set. Raises `UnknownLabels`."""
        with field_prefix("id", whole=True):
            self._text_spaces.delete(request.id)
        return pb.DeleteLabelSetResponse()
