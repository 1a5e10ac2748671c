"""python health.py [URL]: exit code 0 when the service there says SERVING, for containers' health checks.

It asks /healthz on the metrics port, by HTTPS where the service has a certificate, which it does not verify: it asks
this machine. It imports nothing of the service: a check every few seconds must not load PyTorch.
"""

from __future__ import annotations

import os
import ssl
import sys
import urllib.error
import urllib.request

SECONDS = 3.0


def state(url: str, seconds: float = SECONDS) -> str:
    """SERVING, NOT_SERVING, or why there was no answer."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    direct = urllib.request.ProxyHandler({})  # whatever the environment says
    opener = urllib.request.build_opener(direct, urllib.request.HTTPSHandler(context=trusting))
    try:
        with opener.open(url, timeout=seconds) as reply:
            return reply.read().decode().strip()
    except urllib.error.HTTPError as error:
        return error.read().decode().strip()
    except OSError as error:
        return f"UNAVAILABLE: {error}"


if __name__ == "__main__":
    scheme = "https" if os.environ.get("TTA_SERVER__TLS__CERTIFICATE") else "http"
    here = f"{scheme}://127.0.0.1:{os.environ.get('TTA_METRICS__PORT', '9464')}/healthz"
    status = state(sys.argv[1] if len(sys.argv) > 1 else here)
    print(status)
    sys.exit(status != "SERVING")
