"""Keys and certificates: what the client shows a real service, and what it refuses to send."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from tta_client import TLS, AsyncClient, Client, TTAClientError
from tta_client.camera.command import parse_arguments

from tests.app.test_access import encrypted, running
from tests.certificates import Authority
from tests.wire.test_keys import add
from tta_service.wire.keys import Role

TOKEN = "0123456789abcdef.AZaz09_-"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def picture(folder: Path) -> Path:
    from PIL import Image

    Image.new("RGB", (32, 32), "teal").save(folder / "one.png")
    return folder / "one.png"


async def test_both_clients_and_the_camera_show_a_key_or_a_certificate(authority: Authority, tmp_path: Path):
    token, image, trust = add(tmp_path / "keys", "ann", Role.INFER), picture(tmp_path), TLS(authority.ca)
    (tmp_path / "token").write_text(f"{token}\n")
    me = authority.client("bob", "tta:teach")
    shown = {"server__keys": str(tmp_path / "keys"), "server__tls__client_ca": str(authority.ca)}
    async with running(encrypted(authority.server(), **shown)) as service:
        address, certified = service.address, service.certificate_address
        async with (
            AsyncClient(address, token=token, tls=trust) as ann,
            AsyncClient(certified, tls=TLS(authority.ca, me.certificate, me.key)) as bob,
        ):
            for client in (ann, bob):
                await client.classify(image, ["cat", "dog"], "tda", session="cam")
                assert [one.session_id for one in await client.sessions()] == ["cam"]
                async for result in client.stream([image], ["cat", "dog"], "tda", session="cam"):
                    assert result.answer.session.frames == 2  # type: ignore[union-attr]
            with pytest.raises(TTAClientError, match="takes the role teach; yours is infer") as refused:
                await ann.teach("cam", image=image, label="cat", labels=["cat", "dog"])
            assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED
        for other in ({}, {"token": TOKEN}):
            async with AsyncClient(address, tls=trust, **other) as nobody:
                with pytest.raises(TTAClientError) as refused:
                    await nobody.info()
                assert refused.value.code is grpc.StatusCode.UNAUTHENTICATED and TOKEN not in repr(refused.value)

        def ask_synchronously() -> int:
            with Client(address, token=token, tls=trust) as client:
                return client.session("cam").frames

        assert await asyncio.to_thread(ask_synchronously) == 2
        frames = [str(image), "--labels=cat,dog", "--session=cam", "--strategy=tda", "--json", "--no-reconnect"]
        for access in (
            [f"--server={address}", f"--ca={authority.ca}", f"--token=@{tmp_path / 'token'}"],
            [f"--server={certified}", f"--ca={authority.ca}", f"--cert={me.certificate}", f"--key={me.key}"],
        ):
            lines = await run_camera(*frames, *access)
            assert json.loads(lines[0])["session"] == "cam", lines


async def run_camera(*words: str) -> list[str]:
    command = [sys.executable, "-m", "tta_client.camera.cli", *words]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    return output.decode().splitlines()


@pytest.mark.parametrize("chosen, sentence", [
    ({"token": TOKEN}, "a token would travel to gate.example:50051 unencrypted: give tls as well"),
    ({"token": "two words", "tls": True}, "a token is an API key ID.SECRET, without blanks"),
    ({"token": "x\ny: z", "tls": True}, "a token is an API key ID.SECRET, without blanks"),
    ({"tls": TLS("/nix")}, "tls: /nix: No such file or directory"),
    ({"tls": TLS(__file__)}, "test_access.py is no PEM file"),
    ({"tls": TLS(certificate=__file__)}, "a certificate and its key are given together"),
])  # fmt: skip
def test_what_would_give_a_key_away_or_cannot_work_is_refused(chosen: dict[str, Any], sentence: str):
    for make in (Client, AsyncClient):
        with pytest.raises(TTAClientError) as refused:
            make("gate.example:50051", **chosen)
        assert sentence in str(refused.value) and "two words" not in str(refused.value)


def test_the_camera_reads_its_access_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    frames = [str(picture(tmp_path)), "--labels=a,b"]
    assert parse_arguments(frames).tls is None and parse_arguments(frames).token == ""
    assert parse_arguments([*frames, "--tls"]).tls == TLS()
    chosen = parse_arguments([*frames, "--cert=c", "--key=k", "--ca=a", f"--token={TOKEN}"])
    assert (chosen.tls, chosen.token) == (TLS("a", "c", "k"), TOKEN) and TOKEN not in repr(chosen)
    (tmp_path / "empty").write_text("\n")
    for wrong, sentence in (
        (["--cert=c"], "--cert and --key are given together"),
        ([f"--token=@{tmp_path / 'empty'}"], "its first line must hold the key"),
        (["--token=@/nix"], "/nix"),
    ):
        with pytest.raises(SystemExit):
            parse_arguments([*frames, *wrong])
        assert sentence in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc")
@pytest.mark.parametrize("words", [("--token", TOKEN), (f"--token={TOKEN}",)])
def test_a_key_in_the_command_line_is_hidden(words: tuple[str, ...]):
    program = "from tta_client.camera.masking import hide_secrets; hide_secrets(); print(flush=True); input()"
    command = [sys.executable, "-c", program, *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"\n"
        line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        process.communicate(b"\n")
    assert TOKEN.encode() not in line and b"***" in line
