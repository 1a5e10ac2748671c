"""Sinks at the real thing, which goes and comes back: nothing is lost, and nothing comes twice but with its id."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tta_client.camera.events import Event, EventDetector
from tta_client.camera.outbox import Outbox, Spool
from tta_client.camera.sinks import make_sink
from tta_client.camera.text import to_slug

from tests.client.camera.results import make_answer
from tests.client.camera.sinks.test_sinks import receive
from tests.patience import until

pytestmark = pytest.mark.slow
LABELS = ("good", "scratched", "bent")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def process(words: list[str], port: int) -> Iterator[None]:
    """A server in a process, which is killed at the end of the block."""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            until(lambda: answers(port))
            yield
        finally:
            server.kill()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True


class Broker:
    """Debian's mosquitto at one port, without anything on disk, and what a subscriber there has received."""

    def __init__(self, tmp_path: Path) -> None:
        mqtt = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            pytest.skip("no mosquitto here (Debian: apt-get install mosquitto)")
        self.port, self.received = free_port(), list[Any]()
        (tmp_path / "mosquitto.conf").write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self._words = [program, "-c", str(tmp_path / "mosquitto.conf")]
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_message = lambda client, data, message: self.received.append(message)
        self._subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: self._subscribed.set()

    @contextmanager
    def run(self) -> Iterator[None]:
        with process(self._words, self.port):
            self._subscribed.clear()
            self._client.connect("127.0.0.1", self.port)
            self._client.loop_start()
            assert self._subscribed.wait(60)
            yield
            time.sleep(0.3)  # what was confirmed to the sink is on its way to the subscriber
        self._client.loop_stop()

    def texts(self, topic: str) -> list[str]:
        return [message.payload.decode() for message in self.received if message.topic == topic]


def emit(outbox: Outbox, detector: EventDetector, *labels: str) -> list[str]:
    """The ids of the events."""
    made = [event for label in labels for event in detector.on_result(make_answer(label))]
    return put(outbox, made)


def put(outbox: Outbox, made: list[Event]) -> list[str]:
    for event in made:
        outbox.put(event.to_json())
    return [event.id for event in made]


def first_times(ids: list[str]) -> list[str]:
    return list(dict.fromkeys(ids))


def test_a_broker_that_dies_gets_every_event_and_its_state_again(tmp_path: Path) -> None:
    broker, text = Broker(tmp_path), "mqtt://127.0.0.1:{port}/plant/line%201#timeout=3"
    text, detector = text.format(port=broker.port), EventDetector("gate 1")
    outbox = Outbox(make_sink(text, "gate 1", LABELS), Spool(tmp_path, "gate", text), "mqtt")
    sent = emit(outbox, detector, "good")  # nobody is there yet
    topic = f"plant/line 1/{to_slug('gate 1', '_')}"
    with broker.run():
        sent += emit(outbox, detector, "bent")
        until(lambda: len(broker.texts(f"{topic}/event")) == 2)
        until(lambda: "online" in broker.texts(f"{topic}/availability"))
        configs = {m.topic: json.loads(m.payload) for m in broker.received if m.topic.startswith("homeassistant/")}
        assert [one.split("/")[-2] for one in configs] == ["label", "confidence", "event"]
        assert {one["availability_topic"] for one in configs.values()} == {f"{topic}/availability"}
        assert len({one["unique_id"] for one in configs.values()}) == 3
    sent += emit(outbox, detector, "good", "scratched")
    broker.received.clear()
    with broker.run():
        until(lambda: len(set(broker.texts(f"{topic}/event"))) >= 2)
        sent += put(outbox, detector.on_loss("source", "no route"))
        until(lambda: json.loads(broker.texts(f"{topic}/state")[-1])["event"] == "lost")
        until(lambda: broker.texts(f"{topic}/availability")[-1:] == ["offline"])
        ids = [json.loads(one)["id"] for one in broker.texts(f"{topic}/event")]
        assert first_times(ids) == sent[2:]
        outbox.close()
        retained = {m.topic for m in broker.received if m.topic.startswith("homeassistant/")}
        assert retained == set(configs)  # this broker had lost them


def test_a_process_that_is_killed_is_offline_by_its_will(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    script = """
import sys, time
from tests.client.camera.results import make_answer
from tta_client.camera.events import EventDetector
from tta_client.camera.sinks import make_sink
events = EventDetector("gate").on_result(make_answer("good"))
make_sink(sys.argv[1], "gate", ()).deliver([event.to_json() for event in events])
print("sent", flush=True)
time.sleep(100)
"""
    words = [sys.executable, "-c", script, f"mqtt://127.0.0.1:{broker.port}"]
    with broker.run(), subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as camera:
        assert camera.stdout and camera.stdout.readline() == "sent\n"
        until(lambda: broker.texts("tta/gate/availability")[-1:] == ["online"])
        camera.kill()
        until(lambda: broker.texts("tta/gate/availability")[-1] == "offline")


def test_a_webhook_that_fails_half_the_time_gets_every_event_in_order(tmp_path: Path) -> None:
    detector = EventDetector("gate")
    with receive(lambda number: 204 if number % 2 else 503) as (url, accepted):
        outbox = Outbox(make_sink(f"webhook:{url}#batch=5", "gate", ()), Spool(tmp_path, "gate", url), "webhook")
        sent = list[str]()
        for _ in range(3):
            sent += emit(outbox, detector, *("good", "bent") * 6)
            time.sleep(0.2)
        until(lambda: sum(len(json.loads(body)["events"]) for _, body in accepted) >= len(sent))
        outbox.close()
    ids = [event["id"] for _, body in accepted for event in json.loads(body)["events"]]
    assert len(sent) == 36 and ids == sent
    assert all(len(json.loads(body)["events"]) <= 5 for _, body in accepted)


SERVER = """
import sys
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import StartTcpServer
block = ModbusSequentialDataBlock(1, [False] * 100)
StartTcpServer(ModbusServerContext(ModbusDeviceContext(co=block), single=True), address=("127.0.0.1", int(sys.argv[1])))
"""


def test_coils_follow_the_state_through_an_outage(tmp_path: Path) -> None:
    client = pytest.importorskip("pymodbus.client", reason="pymodbus is not installed")
    port, detector = free_port(), EventDetector("belt")
    text, words = f"modbus:127.0.0.1:{port}#first=10", [sys.executable, "-c", SERVER, str(port)]
    outbox = Outbox(make_sink(text, "belt", LABELS), Spool(tmp_path, "belt", text), "modbus")

    def coils() -> list[bool]:
        reader = client.ModbusTcpClient("127.0.0.1", port=port)
        assert reader.connect()
        bits = reader.read_coils(9, count=5).bits[:5]
        reader.close()
        return bits

    def shown(*on: int) -> Callable[[], bool]:
        return lambda: coils() == [place in on for place in range(5)]

    emit(outbox, detector, "good", "bent")
    with process(words, port):
        until(shown(3))
        emit(outbox, detector, "good")
        until(shown(1))
        put(outbox, detector.on_result(make_answer("good", "defer")))
        until(shown())
    emit(outbox, detector, "bent", "good", "scratched")
    with process(words, port):
        until(shown(2))
        outbox.close()
        until(shown())
