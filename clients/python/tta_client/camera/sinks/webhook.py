"""Events by HTTP POST, signed as Standard Webhooks say (https://www.standardwebhooks.com, specification 1.0)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ..masking import mask_secrets
from .target import Target

OPTIONS = "secret", "token", "timeout", "batch"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would turn the POST into a GET, and take the token to another host: it is a failure as any other."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> None:
        return None


OPENER = urllib.request.build_opener(_NoRedirect)


class WebhookSink:
    """Posts `{"events": […]}`. A reply of 2xx means that they have arrived; anything else, that they have not.

    With a secret the headers webhook-id, webhook-timestamp and webhook-signature tell the receiver that nobody else has
    written or changed them. With a token each request has it as `Authorization: Bearer`, with a user and a password in
    the URL these as `Authorization: Basic`.
    """

    def __init__(self, target: Target) -> None:
        """Raises ValueError, OSError."""
        if not target.address.startswith(("http://", "https://")):
            raise ValueError(f"--sink {target.name}: a webhook is a URL, http:// or https://")
        _, _, user, password = target.host(443)
        parts = urlsplit(target.address)
        self._url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))  # urllib knows no user in a URL
        self.batch = target.number("batch", 100, 1, 1000)
        self._timeout, token = target.number("timeout", 10, 1, 300), target.secret("token")
        if token and (user or password):
            raise ValueError(f"--sink {target.name}: a token and a user are two logins; give one of them")
        self._login = f"Bearer {token}" if token else ""
        if user or password:
            self._login = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
        self._key = _read_key(target.secret("secret"), target)

    def deliver(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Raises OSError when they have not arrived."""
        body = json.dumps({"events": events}).encode()
        request = urllib.request.Request(self._url, body, self._headers(events, body), method="POST")
        try:
            OPENER.open(request, timeout=self._timeout).close()
        except urllib.error.HTTPError as error:
            error.close()
            raise OSError(f"it answers {error.code} {error.reason}") from None
        except urllib.error.URLError as error:
            raise OSError(mask_secrets(str(error.reason), self._url)) from None

    def close(self) -> None:
        """No connection stays open between two deliveries."""

    def _headers(self, events: Sequence[Mapping[str, Any]], body: bytes) -> dict[str, str]:
        ids = hashlib.sha256("".join(event["id"] for event in events).encode()).hexdigest()[:32]
        headers = {"Content-Type": "application/json", "User-Agent": "tta-camera", "webhook-id": f"msg_{ids}"}
        if self._login:
            headers["Authorization"] = self._login
        if self._key:
            stamp = str(int(time.time()))
            signed = b".".join((headers["webhook-id"].encode(), stamp.encode(), body))
            digest = base64.b64encode(hmac.new(self._key, signed, hashlib.sha256).digest()).decode()
            headers |= {"webhook-timestamp": stamp, "webhook-signature": f"v1,{digest}"}
        return headers


def _read_key(text: str, target: Target) -> bytes:
    """A secret of the specification is whsec_ and Base64; any other text is the key as it stands."""
    if not text.startswith("whsec_"):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError(f"--sink {target.name}: what follows whsec_ in the secret is not Base64") from None
