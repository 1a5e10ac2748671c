"""The methods about label sets."""

from __future__ import annotations

from ...core.errors import TTAError
from ...serving.text.cache import TextSpaceCache
from ...wire.catalogue import label_set_info, page
from ...wire.field_paths import Origin, at
from ...wire.requests import label_set_of
from ...wire.server_info import Terms
from ...wire.v1 import tta_pb2 as pb
from ..interceptor import Context
from ..v1 import tta_pb2_grpc as wire


class LabelSetCalls(wire.AdaptationServiceServicer):
    """Encoded once, named by id from then on."""

    def __init__(self, text_spaces: TextSpaceCache, terms: Terms) -> None:
        self._text_spaces, self._terms = text_spaces, terms

    async def PutLabelSet(self, request: pb.PutLabelSetRequest, context: Context) -> pb.PutLabelSetResponse:
        labels = label_set_of(request.label_set, self._terms, "label_set")
        try:
            return pb.PutLabelSetResponse(info=label_set_info(await self._text_spaces.put(labels)))
        except TTAError as error:
            raise Origin(image="", labels="label_set", options="").of(error) from error

    async def GetLabelSet(self, request: pb.GetLabelSetRequest, context: Context) -> pb.GetLabelSetResponse:
        with at("id", whole=True):
            held = self._text_spaces.find(request.id)
        names, templates, twins = held.labels.names, held.labels.templates, held.labels.allow_duplicates
        labels = pb.LabelSet(names=names, templates=templates, allow_duplicates=twins)
        return pb.GetLabelSetResponse(info=label_set_info(held), label_set=labels)

    async def ListLabelSets(self, request: pb.ListLabelSetsRequest, context: Context) -> pb.ListLabelSetsResponse:
        held, token = page(self._text_spaces.list(), lambda one: one.labels.id, request.page_size, request.page_token)
        return pb.ListLabelSetsResponse(infos=map(label_set_info, held), next_page_token=token)

    async def DeleteLabelSet(self, request: pb.DeleteLabelSetRequest, context: Context) -> pb.DeleteLabelSetResponse:
        with at("id", whole=True):
            self._text_spaces.delete(request.id)
        return pb.DeleteLabelSetResponse()
