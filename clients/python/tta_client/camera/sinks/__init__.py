"""Where a camera's events go, each with a spool on disk: files, webhooks, MQTT, Modbus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from . import modbus, mqtt, webhook
from .files import FileSink
from .target import parse_target

KINDS = {
    "jsonl": (),
    "csv": (),
    "webhook": webhook.OPTIONS,
    "mqtt": mqtt.OPTIONS,
    "mqtts": (*mqtt.OPTIONS, "ca"),
    "modbus": modbus.OPTIONS,
}


class Sink(Protocol):
    """Takes events. Each method may raise any exception, and then is called again later."""

    batch: int  # so many events at most in one delivery

    def deliver(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Returns when they have arrived; they may come again when it raises."""

    def close(self) -> None:
        """Ends what is open."""


def make_sink(text: str, camera: str, labels: Sequence[str]) -> Sink:
    """The sink that a text such as `mqtt://broker/tta` stands for; nothing is connected yet.

    Raises ValueError for what is no sink, OSError for a package or a file that is missing.
    """
    target = parse_target(text, KINDS)
    match target.kind:
        case "jsonl" | "csv":
            return FileSink(target)
        case "webhook":
            return webhook.WebhookSink(target)
        case "modbus":
            return modbus.ModbusSink(target, labels)
        case _:
            return mqtt.MQTTSink(target, camera)
