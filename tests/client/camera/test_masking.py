"""No secret is told: not in a message, not in a log, not in the list of processes."""

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
    "http://door/snap.cgi?usr=admin&pwd=SECRET&x=1",
    "http://door/x?PWD=SECRET",
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


@pytest.fixture(params=["tta_client.camera.masking", "tta_service.core.masking"])
def without_secrets(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Client and service have one rule."""
    return pytest.importorskip(request.param).without_secrets


@pytest.mark.parametrize("url", URLS)
def test_a_secret_is_masked_wherever_its_url_stands(without_secrets, url: str) -> None:
    for text in (url, f"{url}: refused", f"[Errno 111] Connection refused: '{url}' returned 22", f"a {url}, b"):
        masked = without_secrets(text)
        assert "SECRET" not in masked and "***" in masked
        assert without_secrets(masked) == masked
    assert all(host in without_secrets(url) for host in ("door", "cache", "fe80") if host in url)


@pytest.mark.parametrize(
    "text",
    [
        "http://door:8080/a@2x.jpg and http://[::1]:80/b@c?x=1",
        "rtsp://door:554/1?channel=2&subtype=0 hung up",
        "--param views=16 belongs to no --strategy",
        "a label: cat@home, 12:30, passes=3",
        "no pictures (.jpg) in shots/2024-01-01T10:00:00",
    ],
)
def test_what_is_no_secret_stays(without_secrets, text: str) -> None:
    assert without_secrets(text) == text


def test_a_secret_that_somebody_quotes_without_its_url_is_masked_too(without_secrets) -> None:
    """As urllib does: nonnumeric port."""
    url = "http://admin:SE%40CRET@door/x?pwd=OTHER"
    assert without_secrets("nonnumeric port: 'SE@CRET@door', OTHER", url) == "nonnumeric port: '***@door', ***"


def test_the_list_of_processes_does_not_tell_it(tmp_path: Path) -> None:
    """As soon as the program runs; what stands in a file was never there."""
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux lets a program mask its own command line")
    ours = "import sys; from tta_client.camera.masking import hide_secrets; hide_secrets(); print(sys.argv, flush=True)"
    words = [sys.executable, "-c", f"{ours}; input()", "rtsp://admin:SECRET@door/1?token=SECRET", "--labels", "cat,dog"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout and "SECRET" in program.stdout.readline()  # it knows them itself
        told = Path(f"/proc/{program.pid}/cmdline").read_bytes()
        program.communicate("\n")
    assert b"SECRET" not in told
    assert [part.strip() for part in told.split(b"\0")[3:6]] == [
        b"rtsp://***@door/1?token=***",
        b"--labels",
        b"cat,dog",
    ]
    assert len(told) == len("\0".join(words)) + 1
