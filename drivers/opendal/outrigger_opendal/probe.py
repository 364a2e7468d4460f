"""`health [ADDRESS]`: exit code 0 while the store is usable; for a container's HEALTHCHECK."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from .errors import UsageError
from .health import BLOB

_WAIT_S = 4.8


def probe(argv: Sequence[str], env: Mapping[str, str]) -> str:
    """@return what to say. @raise UsageError when the store is not usable, or nobody answers"""
    address = argv[0] if argv else env.get("OUTRIGGER_LISTEN", "")
    if len(argv) > 1 or not address:
        raise UsageError("health takes the driver's address, or finds it in OUTRIGGER_LISTEN")
    # What listens at every address is asked at the nearest one.
    target = address.replace("0.0.0.0:", "127.0.0.1:", 1).replace("[::]:", "[::1]:", 1)
    with grpc.insecure_channel(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=BLOB), timeout=_WAIT_S)
        except grpc.RpcError as error:
            raise UsageError(f"nobody answers at {address}: {error.code().name}") from error
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise UsageError(f"the driver at {address} says that its store is not usable: its log says why")
    return "serving"
