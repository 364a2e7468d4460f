"""What surrounds every call: metadata, who may call, the store asked for, not-after, and what errors become."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import grpc

from .clock import now_ms
from .commits import assert_in_time
from .errors import OutriggerError, invalid_field, of_service
from .keys import check_integer
from .logs import fields
from .tls import check_client

Value = TypeVar("Value")


@dataclass(frozen=True)
class Call:
    not_after_ms: int | None

    def assert_in_time(self) -> None:
        """As close to the effect as the service allows. @raise TOO_LATE"""
        assert_in_time(self.not_after_ms)


@dataclass(frozen=True)
class Admission:
    """What is the same for every call of this process."""

    store_id: str
    contract: str
    read_only: bool
    allow_clients: tuple[str, ...] | None


class Calls:
    def __init__(self, admission: Admission, log: logging.Logger) -> None:
        self._admission = admission
        self._log = log
        self._draining: asyncio.Future[None] | None = None
        self._work: set[asyncio.Task[Any]] = set()

    @property
    def draining(self) -> asyncio.Future[None]:
        if self._draining is None:
            self._draining = asyncio.get_running_loop().create_future()
        return self._draining

    def drain(self) -> None:
        """[process.drain.01] New calls are refused, streams that only read end."""
        if not self.draining.done():
            self.draining.set_result(None)

    async def ended(self) -> None:
        """Once nothing is under way that somebody called for."""
        while self._work:
            await asyncio.wait(self._work)

    async def unary(
        self,
        method: str,
        context: grpc.aio.ServicerContext,
        run: Callable[[Call], Coroutine[Any, Any, Value]],
        *,
        mutating: bool = False,
    ) -> Value:
        try:
            call = await self._admit(method, context, mutating=mutating)
            # A change that has begun ends, whoever waits for it: half of one is nobody's wish.
            return await (self._whole(run(call)) if mutating else run(call))
        except Exception as error:
            await self._abort(method, context, error)

    async def stream(
        self,
        method: str,
        context: grpc.aio.ServicerContext,
        run: Callable[[Call], Coroutine[Any, Any, None]],
        *,
        mutating: bool = False,
    ) -> None:
        try:
            call = await self._admit(method, context, mutating=mutating)
            if mutating:
                await self._whole(run(call))
            else:
                await self._until_drained(run(call))
        except Exception as error:
            await self._abort(method, context, error)

    async def _whole(self, work: Coroutine[Any, Any, Value]) -> Value:
        return await asyncio.shield(self._keep(asyncio.create_task(work)))

    def _keep(self, task: asyncio.Task[Value]) -> asyncio.Task[Value]:
        self._work.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._work.discard(task)
        # Its caller may have gone: then nobody else asks.
        if not task.cancelled():
            task.exception()

    async def _until_drained(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._keep(asyncio.create_task(work))
        try:
            await asyncio.wait({task, self.draining}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
        if self.draining.done() and (task.cancelling() or not task.done()):
            raise draining()
        await task

    async def _admit(self, method: str, context: grpc.aio.ServicerContext, *, mutating: bool) -> Call:
        """[call.store.01], [process.readonly.01], [call.notafter.01], before any field is looked at."""
        admission = self._admission
        # Before anything else, so that every answer has them [call.now.01], [call.contract.01].
        await context.send_initial_metadata(
            (("outrigger-now", str(now_ms())), ("outrigger-contract", admission.contract))
        )
        if self.draining.done():
            raise draining()
        check_client(context, admission.allow_clients)
        if method.startswith("handshake."):
            return Call(None)
        sent = dict(context.invocation_metadata() or ())
        store = sent.get("outrigger-store", "")
        if not store:
            raise invalid_field("outrigger-store", "the request names no store")
        if store != admission.store_id:
            raise OutriggerError(
                "WRONG_STORE",
                f"this driver holds store {admission.store_id}, not the one asked for",
                {"store": admission.store_id},
            )
        if not mutating:
            return Call(None)
        if admission.read_only:
            raise OutriggerError("READ_ONLY", "this store is sealed: its driver was started with --read-only")
        call = Call(_not_after_of(sent.get("outrigger-not-after")))
        # Append carries its own in Open and Commit, since one stream outlives many deadlines.
        if method != "blob.Append":
            call.assert_in_time()
        return call

    async def _abort(self, method: str, context: grpc.aio.ServicerContext, error: Exception) -> NoReturn:
        if context.cancelled() or isinstance(error, grpc.aio.BaseError):
            # The transport spoke: nobody is there to be told.
            self._log.debug("a caller has gone", exc_info=error, extra=fields(method=method))
            raise asyncio.CancelledError from error
        known = of_service(error, method)
        if known.reason == "INTERNAL":
            self._log.error("a call failed", exc_info=error, extra=fields(method=method))
        elif known.reason in ("BACKEND_DOWN", "QUOTA", "THROTTLED", "STORED_CORRUPT"):
            self._log.warning(known.message, extra=fields(method=method, reason=known.reason))
        await context.abort(known.code, known.message, (("grpc-status-details-bin", known.details()),))
        raise AssertionError("abort raises")


def draining() -> OutriggerError:
    return OutriggerError("DRAINING", "the driver is about to stop")


def _not_after_of(text: str | bytes | None) -> int | None:
    if text is None:
        return None
    if not isinstance(text, str) or not text.isdecimal() or not text.isascii():
        raise invalid_field("outrigger-not-after", "is not unix ms")
    return check_integer("outrigger-not-after", int(text))


async def every(seconds: float, run: Callable[[], Awaitable[None]]) -> None:
    """Until it is cancelled."""
    while True:
        await asyncio.sleep(seconds)
        await run()
