"""Version and Describe, and the hash of them that every answer carries [call.contract.01]."""

from __future__ import annotations

import hashlib
import logging

import grpc

from . import NAME, VERSION
from .calls import Call, Calls
from .gen.outrigger.handshake.v1 import handshake_pb2, handshake_pb2_grpc
from .limits import STREAM_IDLE_S
from .logs import fields
from .store import Store

_SPOKEN = {"outrigger.blob": handshake_pb2.ApiVersions(versions=[handshake_pb2.ApiVersion(major=1, minor=0)])}


def describe(store: Store, upload_ttl_ms: int) -> handshake_pb2.DescribeResponse:
    return handshake_pb2.DescribeResponse(
        driver=NAME,
        version=VERSION,
        apis=_SPOKEN,
        stores=[
            handshake_pb2.Store(
                kind=handshake_pb2.STORE_KIND_BLOB,
                id=store.id,
                capabilities=sorted(store.capabilities),
                limits=handshake_pb2.Limits(
                    # A part under way and the next one that fills.
                    persist_step_bytes=2 * store.part_bytes,
                    upload_ttl_ms=upload_ttl_ms,
                    max_blob_bytes=store.max_blob_bytes,
                    stream_idle_ms=int(STREAM_IDLE_S * 1000),
                ),
            )
        ],
        notices=store.notices,
    )


def contract_of(described: handshake_pb2.DescribeResponse) -> str:
    """Equal on all replicas of one release: notices are each process's own."""
    hashed = handshake_pb2.DescribeResponse()
    hashed.CopyFrom(described)
    del hashed.notices[:]
    return hashlib.sha256(hashed.SerializeToString(deterministic=True)).hexdigest()[:32]


class HandshakeService(handshake_pb2_grpc.HandshakeServiceServicer):
    def __init__(self, calls: Calls, described: handshake_pb2.DescribeResponse, log: logging.Logger) -> None:
        self._calls = calls
        self._described = described
        self._log = log

    async def Version(
        self, request: handshake_pb2.VersionRequest, context: grpc.aio.ServicerContext
    ) -> handshake_pb2.VersionResponse:
        async def run(_: Call) -> handshake_pb2.VersionResponse:
            return handshake_pb2.VersionResponse(api=_SPOKEN)

        return await self._calls.unary("handshake.Version", context, run)

    async def Describe(
        self, request: handshake_pb2.DescribeRequest, context: grpc.aio.ServicerContext
    ) -> handshake_pb2.DescribeResponse:
        async def run(_: Call) -> handshake_pb2.DescribeResponse:
            core = fields(coreName=request.core_name, coreVersion=request.core_version)
            self._log.info("described to a core", extra=core)
            return self._described

        return await self._calls.unary("handshake.Describe", context, run)
