"""A line to a server that a test can cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Relay:
    """Passes connections on to `target` (host:port) while it is not cut."""

    def __init__(self, target: str) -> None:
        self._target, self.address = target, ""
        self._server: asyncio.Server | None = None
        self._lines = set[asyncio.StreamWriter]()

    async def mend(self) -> None:
        """Takes connections, at the same address as before."""
        host, _, port = (self.address or "127.0.0.1:0").rpartition(":")
        self._server = await asyncio.start_server(self._connect, host, int(port))
        self.address = "{}:{}".format(*self._server.sockets[0].getsockname())

    def cut(self) -> None:
        """Ends all connections, and takes none."""
        if self._server:
            self._server.close()
        for line in self._lines:
            line.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._target.rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        self._lines |= {writer, back}
        try:
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
        finally:
            for line in (writer, back):
                line.transport.abort()
            self._lines -= {writer, back}


@asynccontextmanager
async def relay(target: str) -> AsyncIterator[Relay]:
    """A line that is whole."""
    line = Relay(target)
    await line.mend()
    try:
        yield line
    finally:
        line.cut()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.transport.abort()  # the other direction ends too
