"""Events to an MQTT broker, and what Home Assistant needs to show a camera as a device."""

from __future__ import annotations

import json
import os
import re
import ssl
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from ..extras import import_package
from ..text import to_slug
from .target import Target

OPTIONS = "discovery", "timeout"
SENSORS = {  # of Home Assistant: what each shows, and from which template
    "label": {"name": "Label", "icon": "mdi:label", "value_template": "{{ value_json.state or 'none' }}"},
    "confidence": {
        "name": "Confidence",
        "unit_of_measurement": "%",
        "state_class": "measurement",
        "value_template": "{{ (value_json.confidence * 100) | round(1) if value_json.confidence is number }}",
    },
    "event": {"name": "Last event", "icon": "mdi:bell", "value_template": "{{ value_json.event }}"},
}


class MQTTSink:
    """Publishes each event with QoS 1 to PREFIX/CAMERA/event, and the last one, retained, to PREFIX/CAMERA/state.

    PREFIX/CAMERA/availability is `online` (retained) while the camera and this process are there, and `offline` also
    when the process dies: that is the connection's will. Retained topics are published again after each reconnection,
    because a broker may have lost them.
    """

    batch = 100

    def __init__(self, target: Target, camera: str) -> None:
        """Raises ValueError; OSError if paho-mqtt is not installed."""
        mqtt = import_package("paho.mqtt.client", "paho-mqtt", "an MQTT sink", "mqtt")
        tls = target.kind == "mqtts"
        self._host, self._port, user, password = target.host(8883 if tls else 1883)
        self._timeout = target.number("timeout", 10, 1, 300)
        prefix = unquote(urlsplit(target.address).path.strip("/")) or "tta"
        if re.search(r"[+#\0]", prefix):
            raise ValueError(f"--sink {target.name}: a topic holds neither + nor #")
        self._topic, self._retained = f"{prefix}/{to_slug(camera, '_') or 'camera'}", dict[str, str]()
        if "//" not in target.address:
            raise ValueError(f"--sink {target.name}: a broker is a URL, mqtt://HOST/PREFIX")
        self._lock, self._replied, self._refusal = threading.Lock(), threading.Event(), ""
        if discovery := target.options.get("discovery", "homeassistant"):
            self._retained.update(_describe_sensors(discovery, self._topic, camera))
        self._client: Any = None
        self._id = f"tta-camera-{uuid.uuid4().hex}"  # kept: then a broker that still has the old connection ends it
        self._mqtt, self._user, self._password = mqtt, user, password or None
        self._tls, self._ca = tls, _find_authority(target) if tls else None

    def deliver(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Raises OSError when the broker has not confirmed them."""
        try:
            self._connect()
            waiting = [self._client.publish(f"{self._topic}/event", json.dumps(event), qos=1) for event in events]
            waiting += [
                self._retain("state", json.dumps(events[-1])),
                self._retain("availability", "offline" if events[-1]["event"] == "lost" else "online"),
            ]
            until = time.monotonic() + self._timeout
            for message in waiting:
                message.wait_for_publish(max(0.0, until - time.monotonic()))
                if not message.is_published():
                    raise OSError(f"the broker has not confirmed an event within {self._timeout} s")
        except Exception:
            self._leave()  # with its queue, or the events would be sent twice after each failure
            raise

    def close(self) -> None:
        """Says that the camera is offline, and leaves."""
        if self._client is not None and self._client.is_connected():
            self._retain("availability", "offline").wait_for_publish(self._timeout)
        self._leave()

    def _connect(self) -> None:
        """Waits until the broker has accepted the connection, which a thread of paho's keeps up."""
        if self._client is None:
            self._replied.clear()
            self._client = client = self._make_client()
            client.connect(self._host, self._port)
            client.loop_start()
        if not self._replied.wait(self._timeout) or not self._client.is_connected():
            raise OSError(self._refusal or "the broker does not answer")

    def _leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def _make_client(self) -> Any:
        client = self._mqtt.Client(self._mqtt.CallbackAPIVersion.VERSION2, self._id)
        if self._user:
            client.username_pw_set(self._user, self._password)
        if self._tls:
            client.tls_set(ca_certs=self._ca)
        client.will_set(f"{self._topic}/availability", "offline", qos=1, retain=True)
        client.on_connect = self._on_connect
        client.reconnect_delay_set(1, 30)
        return client

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._refusal = f"the broker refuses: {reason}" if reason.is_failure else ""
        if not reason.is_failure:
            with self._lock:
                for topic, text in self._retained.items():
                    client.publish(topic, text, qos=1, retain=True)
        self._replied.set()

    def _retain(self, name: str, text: str) -> Any:
        with self._lock:
            self._retained[topic := f"{self._topic}/{name}"] = text
            return self._client.publish(topic, text, qos=1, retain=True)


def _find_authority(target: Target) -> str | None:
    """The file of the option ca; None: the authorities that the system knows. Raises ValueError if it holds none."""
    file = os.path.expanduser(target.options.get("ca", "")) or None
    try:
        ssl.create_default_context(cafile=file)
    except OSError as error:
        raise ValueError(f"--sink {target.name}: ca {file}: {error.strerror or error}") from None
    return file


def _describe_sensors(discovery: str, topic: str, camera: str) -> dict[str, str]:
    """The discovery messages of Home Assistant (https://www.home-assistant.io/integrations/mqtt), by topic."""
    prefix, _, slug = topic.rpartition("/")
    node = f"{to_slug(prefix)}_{slug}"
    common = {
        "state_topic": f"{topic}/state",
        "json_attributes_topic": f"{topic}/state",
        "availability_topic": f"{topic}/availability",
        "device": {"identifiers": [node], "name": camera, "manufacturer": "tta_service", "model": "tta-camera"},
        "origin": {"name": "tta-camera"},
    }
    return {
        f"{discovery}/sensor/{node}/{name}/config": json.dumps(common | {"unique_id": f"{node}_{name}"} | sensor)
        for name, sensor in SENSORS.items()
    }
