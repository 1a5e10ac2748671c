"""Weights of the model hub: found in the local cache, or downloaded only if the hub can be reached.

The hub's own client retries for most of a minute before it reports that there is no network.
"""

from __future__ import annotations

import os
import socket
import threading
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

from .. import CannotLoad

ANSWERS_WITHIN = 4.0  # seconds


def find_cached(repository: str, names: Sequence[str]) -> Path | None:
    """The first of these files of a repository that is in the local cache, None when there is none."""
    for name in names:
        path = huggingface_hub.try_to_load_from_cache(repository, name)
        if isinstance(path, str):
            return Path(path)
    return None


def find_cached_weights(tag: dict[str, str]) -> Path | None:
    """The cached weights of open_clip's pretrained tag, None when they are not cached."""
    if not tag.get("hf_hub"):
        path = Path("~/.cache/clip").expanduser() / os.path.basename(tag.get("url", ""))
        return path if path.is_file() else None
    repository, name = os.path.split(tag["hf_hub"])
    if not name:
        return find_cached(repository, (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME))
    return find_cached(repository, (f"{os.path.splitext(name)[0]}.safetensors", name))


def require_hub(wanted: str) -> None:
    """Raises `CannotLoad` within seconds when the hub cannot be reached."""
    if constants.is_offline_mode():
        raise CannotLoad(f"{wanted} is not in the local cache and HF_HUB_OFFLINE is set. {_ADVICE}", "model")
    address = urllib.parse.urlsplit(urllib.request.getproxies().get("https") or constants.ENDPOINT)
    if not is_reachable(address.hostname or "", address.port or (80 if address.scheme == "http" else 443)):
        raise CannotLoad(
            f"{wanted} is not in the local cache and {address.hostname} does not answer. {_ADVICE}", "model"
        )


_ADVICE = (
    "Load it once where there is a network and keep its cache (HF_HOME), give a file with --checkpoint, "
    "or leave --model out: the bundled pocket model needs no network."
)


def is_reachable(host: str, port: int, seconds: float = ANSWERS_WITHIN) -> bool:
    """Whether a TCP connection is accepted within `seconds`. Runs in a thread, because DNS lookups have no timeout."""
    connected = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=seconds).close()
            connected.set()
        except OSError:
            pass

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(seconds)
    return connected.is_set()
