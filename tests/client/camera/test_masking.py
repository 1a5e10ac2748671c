"""Secrets are masked in messages, in logs and in the list of processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

URLS = [
    "rtsp://admin:SECRET@door/1",
    "rtsp://admin:SECRET@door:554/1?x=1",
    "rtsp://admin:SE@SECRET@door/1",
    "rtsp://admin:SE/SECRET@door/1",
    "rtsp://admin:SE#SECRET@door/1",
    "rtsp://admin:SE?SECRET@door/1",
    "rtsp://SECRET@door",
    "RTSP://admin:SECRET@[fe80::1]:554/1",
    "redis://:SECRET@cache:6379/0",
    "admin:SECRET@door:554",
    "//admin:SECRET@door/1",
    "//SECRET@door/1",
    "http://door/x#SECRET",
    "https://door/x?y=1#SECRET#SECRET@SECRET",
    "http://door/snap.cgi?usr=admin&pwd=SECRET&x=1",
    "http://door/x?PWD=SECRET",
    "http://door/cgi?usr=admin&psw=SECRET",
    "http://door/cgi?loginuse=admin&loginpas=SECRET",
    "rtsp:/admin:SECRET@door/1",
    "http://door/x?a=1;password=SECRET",
    "http://door/x#access_token=SECRET",
    "http://door/x?token=SECRET;SECRET",
    "http://door/x?apiKey=SECRET",
    "http://door/x?key=SECRET",
    "http://door/x?auth=SECRET",
    "http://door/x?X-Amz-Signature=SECRET",
    "http://door/x?url=rtsp%3A%2F%2Fadmin%3ASECRET%40door&x=1",
    "http://door/x?url=http%3A%2F%2Fdoor%3Ftoken%3DSECRET&x=1",
    "headers=Authorization: Basic SECRET",
    "token=SECRET",
]


@pytest.fixture(params=["tta_client.camera.masking.mask_secrets", "tta_service.core.masking.without_secrets"])
def mask_secrets(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Client and service have one rule."""
    module, _, name = request.param.rpartition(".")
    return getattr(pytest.importorskip(module), name)


@pytest.mark.parametrize("url", URLS)
def test_a_secret_is_masked_wherever_its_url_stands(mask_secrets, url: str) -> None:
    for text in (url, f"{url}: refused", f"[Errno 111] Connection refused: '{url}' returned 22", f"a {url}, b"):
        masked = mask_secrets(text)
        assert "SECRET" not in masked and "***" in masked
        assert mask_secrets(masked) == masked
    assert all(host in mask_secrets(url) for host in ("door", "cache", "fe80") if host in url)


@pytest.mark.parametrize(
    "text",
    [
        "http://door:8080/a@2x.jpg and http://[::1]:80/b@c?x=1",
        "rtsp://door:554/1?channel=2&subtype=0 hung up",
        "http://door/clip.mp4#12: it breaks off; see 'http://door/clip.mp4#1'",
        "//door/x:1 // me@door",
        "--param views=16 belongs to no --strategy",
        "a label: cat@home, 12:30, passes=3",
        "no pictures (.jpg) in shots/2024-01-01T10:00:00",
    ],
)
def test_text_without_a_secret_is_unchanged(mask_secrets, text: str) -> None:
    assert mask_secrets(text) == text


@pytest.mark.parametrize("sign", [":", ";", ",", ".", ")", "'", '"', "&"])
def test_a_sign_behind_a_secret_is_no_part_of_it(mask_secrets, sign: str) -> None:
    assert mask_secrets(f"(pwd=SECRET{sign} Connection refused") == f"(pwd=***{sign} Connection refused"
    assert mask_secrets(f"pwd=SECRET{sign}") == f"pwd=***{sign}"
    assert mask_secrets(f"pwd=SE{sign if sign in ':;,.)' else '.'}CRET more") == "pwd=*** more"


def test_a_secret_of_a_given_url_is_masked_outside_the_url_too(mask_secrets) -> None:
    """urllib quotes it so: nonnumeric port."""
    url = "http://admin:SE%40CRET@door/x?pwd=OTHER"
    assert mask_secrets("nonnumeric port: 'SE@CRET@door', OTHER", url) == "nonnumeric port: '***@door', ***"
    url = "rtsp://a:SE#SECRET@a-long-name-of-a-door/x#MORE"
    assert mask_secrets(f"{url}: SE#SECRET, MORE", url) == "rtsp://***@a-long-name-of-a-door/x#***: ***, ***"


def test_the_list_of_processes_shows_no_secret(tmp_path: Path) -> None:
    """As soon as the program runs."""
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux lets a program mask its own command line")
    code = "import sys; from tta_client.camera.masking import hide_secrets; hide_secrets(); print(sys.argv, flush=True)"
    words = ["rtsp://admin:SECRET@door/1?token=SECRET", "--labels", "cat,dog"]
    command = [sys.executable, "-c", f"{code}; input()", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and "SECRET" in process.stdout.readline()  # sys.argv still has them
        command_line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        process.communicate("\n")
    assert b"SECRET" not in command_line
    assert [part.strip() for part in command_line.split(b"\0")[3:6]] == [
        b"rtsp://***@door/1?token=***",
        b"--labels",
        b"cat,dog",
    ]
    assert len(command_line) == len("\0".join(command)) + 1
