"""The label of a camera as coils of a Modbus server, such as a factory's controller."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ..extras import import_package
from .target import Target

OPTIONS = "unit", "first", "timeout"
MAX_COILS = 1968  # of one request, by the protocol's specification


class ModbusSink:
    """Writes one coil for each label, in their order: that of the state is on, the others are off.

    All are off while there is no state: a frame is deferred or shows none of these, or the camera is lost, or ends.
    Coils are levels: of events that have waited, only the last is written, because acting on an old label is a mistake.
    """

    batch = 100_000  # all that wait

    def __init__(self, target: Target, labels: Sequence[str]) -> None:
        """Raises ValueError; OSError if pymodbus is not installed."""
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # each failure is an exception, which we report
        client = import_package("pymodbus.client", "pymodbus", "a Modbus sink", "modbus")
        host, port, _, _ = target.host(502)
        self._unit, self._first = target.number("unit", 1, 0, 255), target.number("first", 0)
        if not labels or self._first + len(labels) > 65536 or len(labels) > MAX_COILS:
            raise ValueError(f"--sink {target.name}: there are coils for 1 to {MAX_COILS} labels, not {len(labels)}")
        self._labels = tuple(labels)
        self._client = client.ModbusTcpClient(host, port=port, timeout=target.number("timeout", 3, 1, 300), retries=0)

    def deliver(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Raises OSError when the server has not confirmed them."""
        self._write(events[-1]["state"])

    def close(self) -> None:
        """Turns all coils off and leaves."""
        try:
            if self._client.connected:
                self._write("")
        finally:
            self._client.close()

    def _write(self, state: str) -> None:
        if not self._client.connect():
            raise OSError("no connection to the Modbus server")
        bits = [label == state for label in self._labels]
        try:
            reply = self._client.write_coils(self._first, bits, device_id=self._unit)
        except Exception:
            self._client.close()
            raise
        if reply.isError():
            raise OSError(f"the Modbus server refuses: {reply}")
