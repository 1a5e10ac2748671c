"""python health.py [HOST:PORT]: exit code 0 when the service there says SERVING, for containers' health checks.

It imports nothing of the service: a check every few seconds must not load PyTorch.
"""

from __future__ import annotations

import os
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SECONDS = 3.0
HERE = ("127.", "localhost:", "[::1]:")  # reached without a proxy, whatever the environment says


def state(address: str, seconds: float = SECONDS) -> str:
    """SERVING, NOT_SERVING, or why there was no answer."""
    direct = [("grpc.enable_http_proxy", 0)] if address.startswith(HERE) else []
    with grpc.insecure_channel(address, direct) as channel:
        try:
            reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=seconds)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"  # type: ignore[attr-defined]
    return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)


if __name__ == "__main__":
    here = f"127.0.0.1:{os.environ.get('TTA_SERVER__PORT', '50051')}"
    status = state(sys.argv[1] if len(sys.argv) > 1 else here)
    print(status)
    sys.exit(status != "SERVING")
