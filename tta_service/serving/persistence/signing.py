"""Tensors and what is said about them as one opaque, signed, pickle-free blob."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
import struct
from collections.abc import Mapping
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from ...core.errors import BadRequest

MAC = hashlib.sha256().digest_size
log = logging.getLogger(__name__)


class SignedCodec:
    """HMAC-SHA256 over a safetensors file. Without a secret its blobs live as long as this process."""

    def __init__(self, secret: bytes = b"") -> None:
        if not secret:
            log.info("no secret is set: snapshots can be restored by this process only")
        self._secret = secret or secrets.token_bytes(32)

    def dumps(self, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bytes:
        """A blob of what is said (anything JSON can say) and the tensors."""
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        content = save(contiguous, {"said": json.dumps(header)})
        return self._mac(content) + content

    def loads(self, blob: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What `dumps` was given. Raises `BadRequest` for anything that was not sealed with this secret."""
        mac, content = blob[:MAC], blob[MAC:]
        if not hmac.compare_digest(mac, self._mac(content)):
            raise BadRequest("this snapshot was not made here, or was changed on its way", "state")
        (length,) = struct.unpack_from("<Q", content)  # safetensors: the header's length, then its JSON
        header = json.loads(content[8 : 8 + length])
        return json.loads(header["__metadata__"]["said"]), load(content)

    def _mac(self, content: bytes) -> bytes:
        return hmac.new(self._secret, content, hashlib.sha256).digest()
