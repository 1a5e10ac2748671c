"""A connection to a server that can be cut, as when a camera loses its power."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import grpc


class Wire:
    """A channel through a relay of its own. `tear` cuts it wherever the bytes are; `close` hangs up politely."""

    def __init__(self, relay: asyncio.Server, ends: set[asyncio.StreamWriter]) -> None:
        self._relay, self._ends = relay, ends
        address = "{}:{}".format(*relay.sockets[0].getsockname())
        self.channel = grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])

    def tear(self) -> None:
        self._relay.close()
        for end in self._ends:
            end.transport.abort()

    async def close(self) -> None:
        await self.channel.close(grace=None)
        self.tear()


async def wire(address: str) -> Wire:
    host, _, port = address.rpartition(":")
    ends: set[asyncio.StreamWriter] = set()

    async def relay(here: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        there, forth = await asyncio.open_connection(host, int(port))
        ends.update((back, forth))
        await asyncio.gather(pump(here, forth), pump(there, back))

    return Wire(await asyncio.start_server(relay, "127.0.0.1", 0), ends)


async def pump(source: asyncio.StreamReader, to: Any) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await source.read(1 << 16):
            to.write(chunk)
            await to.drain()
    to.close()
