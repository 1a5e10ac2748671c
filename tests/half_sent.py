"""Calls whose message never arrives whole, by a client that speaks HTTP/2 without a library (RFC 9113, RFC 7541)."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
WINDOW, FRAME = 65_535, 16_384  # of HTTP/2 before any setting


class HalfSentCalls:
    """Calls on one connection; each announces `announced` bytes of a message and sends the first `sent` of them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: int) -> None:
        self._reader, self._writer, self._sent = reader, writer, sent
        self._windows, self._window, self._connection = dict[int, int](), WINDOW, WINDOW
        self._left = dict[int, int]()  # bytes that each call may still send
        self.ended: set[int] = set()  # calls that the server has ended
        self.closed = False  # the server has closed the connection

    @property
    def arrived(self) -> int:
        """Bytes that the server has taken of all messages."""
        return len(self._left) * self._sent - sum(self._left.values())

    async def run(self, path: str, calls: int, announced: int, headers: Mapping[str, str]) -> None:
        self._writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(SETTINGS, 0, 0, b""))
        fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "half", "te": "trailers"}
        fields |= {"content-type": "application/grpc", **headers}
        block = b"".join(map(_field, fields.items()))
        for call in range(calls):
            stream = 2 * call + 1
            self._windows[stream], self._left[stream] = self._window, self._sent
            self._writer.write(_frame(HEADERS, 4, stream, block))
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                for stream in self._left.keys() - self.ended:
                    self._send(stream, struct.pack(">BI", 0, announced))
                await self._writer.drain()
                await self._receive()
        self.closed = True

    def _send(self, stream: int, prefix: bytes) -> None:
        """Sends as much as the windows allow. The first bytes are the prefix that announces the message."""
        while (size := min(FRAME, self._left[stream], self._windows[stream], self._connection)) >= len(prefix):
            part = prefix + bytes(size - len(prefix)) if self._left[stream] == self._sent else bytes(size)
            self._left[stream] -= size
            self._windows[stream] -= size
            self._connection -= size
            self._writer.write(_frame(DATA, 0, stream, part))

    async def _receive(self) -> None:
        head = await self._reader.readexactly(9)
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9], "big")
        body = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
        if kind == SETTINGS and not flags & 1:
            for place in range(0, len(body), 6):
                name, value = struct.unpack_from(">HI", body, place)
                if name == 4:  # SETTINGS_INITIAL_WINDOW_SIZE
                    self._windows = {one: window + value - self._window for one, window in self._windows.items()}
                    self._window = value
            self._writer.write(_frame(SETTINGS, 1, 0, b""))
        elif kind == PING and not flags & 1:
            self._writer.write(_frame(PING, 1, 0, body))
        elif kind == WINDOW_UPDATE:
            more = int.from_bytes(body, "big")
            if stream:
                self._windows[stream] += more
            else:
                self._connection += more
        elif kind == RST_STREAM or (kind == HEADERS and flags & 1):
            self.ended.add(stream)


@asynccontextmanager
async def half_sent_calls(
    address: str,
    method: str,
    calls: int,
    announced: int = 8 << 20,
    sent: int = 7 << 20,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[HalfSentCalls]:
    """Within the block the calls hang there, as far as the server lets them."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    attack = HalfSentCalls(reader, writer, sent)
    running = asyncio.create_task(attack.run(method, calls, announced, headers))
    try:
        yield attack
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        writer.transport.abort()


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + body


def _field(field: tuple[str, str]) -> bytes:
    """A header as a literal without indexing, none longer than 126 bytes."""
    return b"\0" + b"".join(bytes((len(text),)) + text.encode() for text in field)
