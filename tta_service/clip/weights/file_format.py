"""Recognises files that do not hold weights, such as failed downloads, before PyTorch fails on them."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

SAFE = ".safetensors"
TEXTS = {  # what the file begins with, in lower case
    (b"version https://git-lfs",): "it is a Git LFS pointer, which stands for the weights; `git lfs pull` fetches them",
    (b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--"): (
        "it is a web page; the address it came from wants a login or another link"
    ),
}
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"(\xb5/\xfd": "zstd", b"7z\xbc\xaf'\x1c": "7z"}
OTHERS = {b"%PDF": "a PDF document", b"\xff\xd8\xff": "a picture", b"\x89PNG": "a picture", b"\x89HDF": "an HDF5 file"}


def why_not_weights(file: Path) -> str:
    """Why the file cannot be weights, by its first bytes; "" when it may be. Raises OSError."""
    if is_part(file):
        return "it is one part of several; save_pretrained(..., max_shard_size='100GB') of transformers writes one file"
    size = file.stat().st_size
    with file.open("rb") as opened:
        head = opened.read(1024)
    if not head:
        return "it is empty"
    if (
        head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000
    ):  # checked first: the length may look like the start of another format
        return _why_not_safetensors(file, size)
    if why := _recognise(head):
        return why
    if head.startswith(b"PK\x03\x04"):
        return _why_not_zip(file)
    if not any(byte < 9 or 13 < byte < 32 for byte in head):  # no control characters
        return "it is text"
    return "it is not in the format that its name tells" if file.suffix == SAFE else ""


def is_part(file: Path) -> bool:
    """Whether it is one of several files of weights, such as model-00001-of-00002.safetensors."""
    total = re.search(r"-\d{5}-of-(\d{5})$", file.stem)
    return total is not None and int(total[1]) > 1


def _recognise(head: bytes) -> str:
    """What a file that begins so is instead of weights; "" when that is unknown."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    known = [why for starts, why in TEXTS.items() if text.startswith(starts)]
    known += [f"it is packed ({kind}); unpack it" for start, kind in PACKED.items() if head.startswith(start)]
    known += ["it is a tar archive; unpack it"] if head[257:262] == b"ustar" else []
    known += [f"it is {kind}" for start, kind in OTHERS.items() if head.startswith(start)]
    return known[0] if known else ""


def _why_not_zip(file: Path) -> str:
    if not zipfile.is_zipfile(file):
        return "it is damaged or incomplete (a ZIP archive without its end); fetch it again"
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return "it is damaged or incomplete (a ZIP archive that cannot be read); fetch it again"
    if file.suffix in (".npz", ".npy"):
        return ""
    if file.suffix == SAFE:
        return "it is not in the format that its name tells; weights saved by PyTorch are called .pt"
    if any(name.endswith("constants.pkl") for name in names):
        return "it is a TorchScript archive, which holds code; save its state_dict() in a file of its own"
    return "" if any(name.endswith("data.pkl") for name in names) else "it is a ZIP archive of other things; unpack it"


def _why_not_safetensors(file: Path, size: int) -> str:
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = opened.read(length)
    if len(header) < length:
        return f"it is incomplete: {size} bytes of more than {8 + length}; fetch it again"
    try:
        ends = [tensor["data_offsets"][1] for name, tensor in json.loads(header).items() if name != "__metadata__"]
        whole = 8 + length + max(ends, default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return "it is damaged: its list of tensors cannot be read; fetch it again"
    if size < whole:
        return f"it is incomplete: {size} of {whole} bytes; fetch it again"
    return "" if file.suffix == SAFE else f"it is in another format than its name tells; call it {file.stem}{SAFE}"
