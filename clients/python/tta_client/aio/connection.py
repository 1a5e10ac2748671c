"""The channel of a client, and what the client remembers of the service behind it."""

from __future__ import annotations

from typing import Any

import grpc

from ..channel import make_metadata, to_timeout
from ..errors import TTAClientError, blame_field, from_rpc, is_retryable
from ..types.catalogue import LabelSetInfo, parse_label_set_info, parse_server_info
from ..types.labels import Labels, LabelSet, RegisteredLabels, make_label_set_message
from ..types.limits import UNLIMITED, Limits
from ..v1 import tta_pb2 as pb
from .runtime import Channels


class AsyncConnection:
    """Makes the calls of one client. `timeout`: seconds for a call without a limit of its own."""

    def __init__(
        self,
        target: str,
        timeout: float,
        credentials: grpc.ChannelCredentials | None,
        metadata: tuple[tuple[str, str], ...],
    ) -> None:
        self._channels, self._timeout, self._metadata = Channels(target, credentials), timeout, metadata

    @property
    def channel(self) -> Any:
        """The channel; the asyncio client has one for each event loop."""
        return self._channels.get()[0]

    @property
    def stub(self) -> Any:
        """The stub on that channel."""
        return self._channels.get()[1]

    def headers(self, session: str) -> tuple[tuple[str, str], ...]:
        """The metadata of a call about that session."""
        return make_metadata(session, self._metadata)

    async def call_unary(self, rpc: Any, message: Any, seconds: float | None = None, session: str = "") -> Any:
        """Calls a method of the service, by its name, or of another stub, limited to `seconds`.

        The session is in the metadata, also that of `message`. Raises `TTAClientError`.
        """
        headers = self.headers(session or getattr(message, "session_id", ""))
        seconds = to_timeout(self._timeout if seconds is None else seconds)
        call = getattr(self.stub, rpc) if isinstance(rpc, str) else rpc
        try:
            return await call(message, timeout=seconds, metadata=headers)
        except grpc.RpcError as error:
            raise from_rpc(error) from None


class AsyncRegistry:
    """The label sets that a client has registered at its service, and the service's limits.

    Each method asks the server of its session, because the servers of a fleet do not share label sets.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self.labels = RegisteredLabels()
        self._connection = connection
        self._limits: Limits | None = None

    def forget(self) -> None:
        """The next server may have other label sets and limits."""
        self.labels.forget_all()
        self._limits = None

    async def get_limits(self, session: str = "", seconds: float | None = None) -> Limits:
        """The service's limits, fetched once. A service that does not tell them is taken to have none."""
        if (limits := self._limits) is None:
            try:
                message = pb.GetServerInfoRequest()
                reply = await self._connection.call_unary("GetServerInfo", message, seconds, session)
                limits = Limits.of(parse_server_info(reply).limits)
            except TTAClientError as error:
                if is_retryable(error):
                    raise
                limits = UNLIMITED
            self._limits = limits
        return limits

    async def register(self, labels: LabelSet, session: str = "") -> LabelSetInfo:
        """Registers a label set."""
        message = pb.PutLabelSetRequest(label_set=make_label_set_message(labels))
        reply = await self._connection.call_unary("PutLabelSet", message, session=session)
        self.labels.remember(labels, reply.info.id)
        return parse_label_set_info(reply.info)

    async def identify(self, labels: Labels, session: str = "") -> str:
        """The id of a label set, which is registered if it is not yet. An unknown id is returned as it is."""
        with blame_field("labels"):
            definition = self.labels.definition(labels)
        if definition is None:
            return str(labels)
        return self.labels.id(definition) or (await self.register(definition, session)).id
