"""Files and webhooks, what their texts may say, and events of the whole command."""

from __future__ import annotations

import base64
import csv
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tta_client.camera.cli import main
from tta_client.camera.command import parse_command
from tta_client.camera.events import EventDetector
from tta_client.camera.sinks import make_sink
from tta_client.camera.text import to_slug

from tests.client.camera.results import make_answer

SECRET = "whsec_" + base64.b64encode(b"a key of both").decode()
Request = tuple[dict[str, str], bytes]


@contextmanager
def receive(reply: Callable[[int], int] = lambda number: 204) -> Iterator[tuple[str, list[Request]]]:
    """A webhook server: its URL and what it has accepted. `reply` gives the status of the nth request."""
    accepted, asked = list[Request](), list[int]()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(len(asked))
            body = self.rfile.read(int(self.headers["content-length"]))
            if (status := reply(asked[-1])) // 100 == 2:
                accepted.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(status)
            self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            accepted.append((dict(self.headers), b""))

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hook", accepted
    finally:
        server.shutdown()
        server.server_close()


def events(*labels: str) -> list[dict[str, Any]]:
    detector = EventDetector("gate")
    return [event.to_json() for label in labels for event in detector.on_result(make_answer(label))]


def test_a_webhook_can_tell_who_has_sent_it() -> None:
    with receive() as (url, accepted):
        make_sink(f"webhook:{url}#secret={SECRET}&token=t.1", "gate", ()).deliver(sent := events("cat", "dog"))
        make_sink(f"webhook:{url}", "gate", ()).deliver(sent)
    (headers, body), (unsigned, _) = accepted
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(b"a key of both", signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert headers["authorization"] == "Bearer t.1" and json.loads(body) == {"events": sent}
    assert unsigned["webhook-id"] == headers["webhook-id"] and "webhook-signature" not in unsigned


def test_user_and_password_of_a_webhook_s_url_are_its_login() -> None:
    with receive() as (url, accepted):
        address = url.replace("://", "://me:h%40sh@")
        make_sink(f"webhook:{address}", "gate", ()).deliver(events("cat"))
        with pytest.raises(ValueError, match=r"^--sink webhook:http://\*\*\*@.*: a token and a user are two logins"):
            make_sink(f"webhook:{address}#token=t.1", "gate", ())
    ((headers, _),) = accepted
    assert headers["authorization"] == f"Basic {base64.b64encode(b'me:h@sh').decode()}"


@pytest.mark.parametrize("status", [304, 400, 404, 500, 301, 302, 303, 307, 308])
def test_anything_but_2xx_is_a_failure_and_no_redirect_is_followed(status: int) -> None:
    with receive(lambda number: status) as (url, accepted), pytest.raises(OSError, match=f"it answers {status}"):
        make_sink(f"webhook:{url}#token=t.1", "gate", ()).deliver(events("cat"))
    assert not accepted


@pytest.mark.parametrize(("written", "token"), [("a+b/c==", "a+b/c=="), ("a%26b%25%23+c", "a&b%#+c"), ("a=b", "a=b")])
def test_an_option_is_taken_as_it_is_written_but_for_percent(written: str, token: str) -> None:
    with receive() as (url, accepted):
        make_sink(f"webhook:{url}#token={written}&timeout=9", "gate", ()).deliver(events("cat"))
    assert accepted[0][0]["authorization"] == f"Bearer {token}"


def test_a_home_is_found_and_a_file_that_cannot_be_written_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text("t.1\n")
    for kind in ("jsonl", "csv"):
        make_sink(f"{kind}:~/events.{kind}", "gate", ()).deliver(events("cat"))
        assert "cat" in (tmp_path / f"events.{kind}").read_text()
        for file in (tmp_path, tmp_path / "away" / "e", "/proc/x"):
            with pytest.raises(SystemExit):
                parse_command(["0", "--labels", "a,b", "--sink", f"{kind}:{file}"])
            assert f"--sink {kind}:{file}: " in " ".join(capsys.readouterr().err.split())
    with receive() as (url, accepted):
        make_sink(f"webhook:{url}#token=@~/token", "gate", ()).deliver(events("cat"))
    assert accepted[0][0]["authorization"] == "Bearer t.1"


def test_names_that_differ_have_slugs_that_differ() -> None:
    names = "gate 1", "gate_1", "gate-1", "gate/1", "門", "庭", "_", "gate"
    for kept in ("", "_", "_."):
        slugs = [to_slug(name, kept) for name in names]
        assert len(set(slugs)) == len(names) and all(re.fullmatch(r"[a-zA-Z0-9_-]+", slug) for slug in slugs)
    assert to_slug("gate-1") == "gate-1" and to_slug("gate_1", "_") == "gate_1"


def test_pymodbus_adds_no_messages_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("pymodbus.client", reason="pymodbus is not installed")
    sink = make_sink("modbus:127.0.0.1:1", "belt", ("good", "bent"))
    for _ in range(3):
        with pytest.raises(OSError, match="no connection to the Modbus server"):
            sink.deliver(events("good"))
    assert not caplog.records


def test_nobody_there_is_a_failure_without_a_password() -> None:
    with pytest.raises(OSError, match="refused"):
        make_sink("webhook:http://127.0.0.1:1/", "gate", ()).deliver(events("cat"))


def test_a_torn_line_of_a_file_costs_no_event(tmp_path: Path) -> None:
    for kind in ("jsonl", "csv"):
        file = tmp_path / f"events.{kind}"
        sink = make_sink(f"{kind}:{file}", "gate", ())
        sink.deliver(one := events("cat"))
        with file.open("a") as writing:
            writing.write("torn")
        sink.deliver(two := events("dog", "bird"))
        lines = file.read_text().splitlines()
        read = csv.DictReader(lines) if kind == "csv" else map(json.loads, filter(lambda line: line != "torn", lines))
        ids = [row["id"] for row in read if row["id"] != "torn"]
        assert ids == [event["id"] for event in one + two]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("telegram:me", "begins with one of jsonl:, csv:"),
        ("events.jsonl", "begins with one of"),
        ("csv:", "names no file"),
        ("webhook:ftp://x", "a webhook is a URL"),
        ("webhook:http://x#colour=red", "has no option 'colour'; it has secret"),
        ("mqtt://x/tta#ca=ca.pem", "has no option 'ca'; it has discovery, timeout"),
        ("mqtts://x/tta#ca=/nowhere/ca.pem", "ca /nowhere/ca.pem: No such file"),
        (f"mqtts://x/tta#ca={__file__}", "no certificate"),
        ("webhook:http://x#secret=a&hush", "& in a value is written %26"),
        ("webhook:http://x#timeout=soon", "timeout is a whole number from 1 to 300"),
        ("webhook:http://x#secret=whsec_!", "is not Base64"),
        ("webhook:http://me:hush@x:port/#secret=hush", "Port could not be cast"),
        ("mqtt:broker", "a broker is a URL"),
        ("mqtt://", "names no host"),
        ("mqtt://x/a%23", "a topic holds neither + nor #"),
        ("modbus:plc#unit=256", "unit is a whole number from 0 to 255"),
        ("modbus:", "names no host"),
    ],
)
def test_what_is_no_sink_is_refused_and_no_secret_is_told(text: str, sentence: str, capsys: Any) -> None:
    for package in ("paho.mqtt.client", "pymodbus.client"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    with pytest.raises(SystemExit) as refused:
        parse_command(["0", "--labels", "a,b", "--sink", text])
    said = " ".join(capsys.readouterr().err.split())
    assert refused.value.code == 2 and sentence in said and "hush" not in said


def test_the_command_sends_a_camera_s_events(address: str, tmp_path: Path) -> None:
    for number, content in enumerate((b"x", b"x", b"bad", b"xx"), 1):
        (tmp_path / f"{number}.jpg").write_bytes(content)
    log, table = tmp_path / "events.jsonl", tmp_path / "events.csv"
    words = [str(tmp_path), "--labels", "cat,dog,bird", "--server", address, "--spool", str(tmp_path / "spool")]
    assert main([*words, "--sink", f"jsonl:{log}", "--sink", f"csv:{table}", "--name", "gate"]) == 1  # one is bad
    found = list(map(json.loads, log.read_text().splitlines()))
    assert [(one["event"], one["camera"], one["state"], one["frame"]) for one in found] == [
        ("changed", "gate", "dog", 1),
        ("changed", "gate", "bird", 4),
    ]
    assert [row["id"] for row in csv.DictReader(table.read_text().splitlines())] == [one["id"] for one in found]


def test_cameras_of_a_file_have_sinks_of_their_own(address: str, tmp_path: Path) -> None:
    tables = list[str]()
    for name in ("gate", "yard"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"x")
        sinks = [f"jsonl:{tmp_path}/{name}.jsonl", f"jsonl:{tmp_path}/all.jsonl"]
        tables.append(f"[[camera]]\nname = '{name}'\nurl = '{tmp_path}/{name}'\nsink = {json.dumps(sinks)}\n")
    (tmp_path / "cameras.toml").write_text("".join(tables))
    words = ["--sources", str(tmp_path / "cameras.toml"), "--labels", "cat,dog,bird", "--spool", str(tmp_path / "s")]
    assert main([*words, "--server", address]) == 0
    for name, cameras in (("gate", ["gate"]), ("yard", ["yard"]), ("all", ["gate", "yard"])):
        lines = (tmp_path / f"{name}.jsonl").read_text().splitlines()
        assert sorted(json.loads(line)["camera"] for line in lines) == cameras


def test_a_service_that_goes_ends_the_state(address: str, peer: Any, tmp_path: Path) -> None:
    import grpc

    for number, content in enumerate((b"x", b"trouble"), 1):
        (tmp_path / f"{number}.jpg").write_bytes(content)
    peer.troubles = [grpc.StatusCode.UNAVAILABLE]
    words = [str(tmp_path), "--labels", "cat,dog,bird", "--server", address, "--spool", str(tmp_path / "s")]
    assert main([*words, "--sink", f"jsonl:{tmp_path}/e.jsonl", "--max-pause", "0.5"]) == 0
    found = list(map(json.loads, (tmp_path / "e.jsonl").read_text().splitlines()))
    assert [(one["event"], one["state"]) for one in found] == [
        ("changed", "dog"),
        ("lost", ""),
        ("back", ""),
        ("changed", "dog"),
    ]
    assert found[1]["reason"].startswith("service: ")
