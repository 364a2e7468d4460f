"""grpc.health.v1 [process.health.01]: "" is the process, the service's name is its store."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from .backend import Backend
from .errors import OutriggerError

BLOB: Final = "outrigger.blob.v1.BlobService"
_KEPT_S: Final = 4.0
_CHECK_S: Final = 4.0
"""An answer must not wait for a service that hangs."""
_Status = health_pb2.HealthCheckResponse.ServingStatus


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    def __init__(self, backend: Backend, log: logging.Logger) -> None:
        self._backend = backend
        self._log = log
        self._usable = True
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """[process.drain.01] Everything is NOT_SERVING from now on."""
        self._draining.set()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        status = await self._status(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {request.service} here")
        return health_pb2.HealthCheckResponse(status=status)

    async def List(
        self, request: health_pb2.HealthListRequest, context: grpc.aio.ServicerContext
    ) -> health_pb2.HealthListResponse:
        return health_pb2.HealthListResponse(
            statuses={name: health_pb2.HealthCheckResponse(status=await self._status(name)) for name in ("", BLOB)}
        )

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext) -> None:
        """Tells the status now and whenever it changes."""
        told = None
        while True:
            status = await self._status(request.service)
            if status is None:
                status = _Status.SERVICE_UNKNOWN
            if status != told:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                told = status
            if self._draining.is_set():
                return
            try:
                await asyncio.wait_for(self._draining.wait(), _KEPT_S)
            except TimeoutError:
                continue

    async def _status(self, service: str) -> int | None:
        """None: no such service."""
        if service not in ("", BLOB):
            return None
        if self._draining.is_set():
            return int(_Status.NOT_SERVING)
        if service == "":
            return int(_Status.SERVING)
        async with self._asking:
            if time.monotonic() - self._asked_at >= _KEPT_S:
                await self._ask()
        return int(_Status.SERVING if self._usable else _Status.NOT_SERVING)

    async def _ask(self) -> None:
        try:
            await asyncio.wait_for(self._backend.check(), _CHECK_S)
            usable = True
        except (OutriggerError, TimeoutError) as error:
            usable = False
            if self._usable:
                self._log.error("the service is not usable", exc_info=error)
        if usable and not self._usable:
            self._log.info("the service is usable again")
        self._usable = usable
        self._asked_at = time.monotonic()
