"""The two ends of one Append stream: what interrupts waiting, who owes whom, and answers that never pile up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc

from .errors import OutriggerError
from .gen.outrigger.blob.v1 import blob_pb2
from .limits import STREAM_IDLE_S

Value = TypeVar("Value")


class Inbox:
    """Requests, one at a time: the next is asked for when the last is dealt with.

    So a slow service holds its sender back.
    """

    def __init__(self, context: grpc.aio.ServicerContext, idle_s: float = STREAM_IDLE_S) -> None:
        self._context = context
        self._idle_s = idle_s
        self._stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Nobody may be waiting when it is stopped.
        self._stopped.add_done_callback(lambda stopped: stopped.exception())

    def stop(self, error: Exception) -> None:
        """Ends the stream with this error at its next wait, or at once when it waits now. The first counts."""
        if not self._stopped.done():
            self._stopped.set_exception(error)

    def check(self) -> None:
        """@raise what `stop` was given"""
        if self._stopped.done():
            self._stopped.result()

    async def next(self) -> blob_pb2.AppendRequest | None:
        """None at the half-close. @raise what `stop` was given, STREAM_IDLE [blob.append.23]"""
        request = await self.wait(self._context.read())
        return None if request is grpc.aio.EOF else request

    async def wait(self, owed: Awaitable[Value]) -> Value:
        """For something that the other side owes. @raise as `next`"""
        waiting = asyncio.ensure_future(owed)
        both: set[asyncio.Future[Any]] = {waiting, self._stopped}
        await asyncio.wait(both, timeout=self._idle_s, return_when=asyncio.FIRST_COMPLETED)
        if self._stopped.done() or not waiting.done():
            waiting.cancel()
            self.check()
            raise OutriggerError(
                "STREAM_IDLE", f"the other side owed this stream its next step for {self._idle_s:.0f} s"
            )
        return waiting.result()


class Outbox:
    """Answers. While one message waits for room, only the newest progress is kept."""

    def __init__(
        self, send: Callable[[blob_pb2.AppendResponse], Awaitable[None]], on_failure: Callable[[Exception], None]
    ) -> None:
        self._send = send
        self._on_failure = on_failure
        self._progress: blob_pb2.Progress | None = None
        self._running: asyncio.Task[None] | None = None

    def progress(self, received: int, persisted: int) -> None:
        self._progress = blob_pb2.Progress(received=received, persisted=persisted)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._drain())

    async def send(self, response: blob_pb2.AppendResponse) -> None:
        """After everything told before."""
        await self.told()
        await self._send(response)

    async def told(self) -> None:
        """Returns once all progress is sent."""
        while self._running is not None and not self._running.done():
            await asyncio.shield(self._running)

    async def _drain(self) -> None:
        try:
            while self._progress is not None:
                progress, self._progress = self._progress, None
                await self._send(blob_pb2.AppendResponse(progress=progress))
        except Exception as error:
            self._progress = None
            self._on_failure(error)
