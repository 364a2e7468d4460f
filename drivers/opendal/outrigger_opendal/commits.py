"""A commit: the parts put together under their key, whole or not at all, and the upload ended.

Where several processes serve one store, the state says that a commit is under way, and with which bytes, before they
can be seen; an Open that finds it so waits for its end, and finishes it when its process has died [blob.append.20].
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Final

from .backend import Backend, Condition, Info, Lost, Version
from .clock import now_ms
from .errors import OutriggerError, fenced
from .limits import AT_ONCE
from .upload_state import (
    CommitTarget,
    Part,
    State,
    cover,
    decode,
    list_parts,
    load,
    resolved,
    state_path,
)
from .upload_stream import Held, read_parts

BEAT_S: Final = 0.5
"""How often a commit shows that it lives."""
DEAD_AFTER_S: Final = 2.5
"""Without a beat for so long, by this process's own clock, a commit is taken for dead and finished here. If it lives
after all, both put the same bytes under the same key: nothing is lost but work."""
LOOK_S: Final = 0.25
IN_FLIGHT_MS: Final = 20_000
"""How long after its not-after time a commit that was sent in time may still take effect: the service's own timeout."""
_WITHOUT_EFFECT: Final = frozenset({"TOO_LATE", "KEY_EXISTS", "KEY_CONFLICT", "STORED_CORRUPT"})
"""Errors of a commit after which it is certain that nothing of it will be seen."""
_LOOKS: Final = 5
"""How often a commit looks again at a key that changes under it."""


class HeldUpload(Held):
    """An upload of which this process holds the newest token."""

    def __init__(self, backend: Backend, upload_id: str, state: State, version: Version, parts: list[Part]) -> None:
        self._backend = backend
        self.upload_id = upload_id
        self.state = state
        self.token = state.token
        self.fence = state.fence
        self.parts = parts
        self._version = version

    async def mine(self) -> bool:
        return await self._backend.unchanged(state_path(self.upload_id), self._version)

    async def swap(self, state: State) -> None:
        """@raise UPLOAD_FENCED"""
        try:
            self._version = await self._backend.swap(state_path(self.upload_id), self._version, state.encode())
        except Lost as lost:
            raise fenced() from lost
        self.state = state


class Commits:
    def __init__(self, backend: Backend, log: logging.Logger) -> None:
        self._backend = backend
        self._log = log

    async def commit(self, held: Held, target: CommitTarget) -> Info:
        """The upload's bytes are checked already. @raise KEY_EXISTS, TOO_LATE: the upload is as it was"""
        assert isinstance(held, HeldUpload)
        assert_in_time(target.not_after_ms)
        if not self._backend.shared:
            info = await self._place(held.parts, target)
            await self._end(held)
            return info
        open_state = held.state
        await held.swap(open_state.changed(phase="committing", commit=target))
        try:
            async with self._beating(held):
                info = await self._place(held.parts, target)
        except OutriggerError as error:
            # Otherwise it may still take effect: it stays `committing`, and the next Open finishes it.
            if error.reason in _WITHOUT_EFFECT:
                # An Open may have found this commit dead meanwhile.
                with contextlib.suppress(OutriggerError):
                    await held.swap(open_state.changed())
            raise
        await self._end(held)
        return info

    async def _end(self, held: HeldUpload) -> None:
        """From here on the upload is unknown [blob.append.16]; that its parts still lie there is nobody's business."""
        try:
            await held.swap(held.state.changed(phase="done", commit=None))
            await self.clean(held.upload_id)
        except OutriggerError as error:
            # The bytes are under their key: what is left is cleaned up by whoever meets it.
            self._log.warning("a committed upload could not be cleaned up", exc_info=error)

    @contextlib.asynccontextmanager
    async def _beating(self, held: HeldUpload) -> AsyncIterator[None]:
        async def beat() -> None:
            while True:
                await asyncio.sleep(BEAT_S)
                async with turn:
                    await held.swap(held.state.changed())

        turn = asyncio.Lock()
        beats = asyncio.create_task(beat())
        try:
            yield
        finally:
            # A swap under way is let end, so that what this process knows of the state is what it is.
            async with turn:
                beats.cancel()
            with contextlib.suppress(asyncio.CancelledError, OutriggerError):
                await beats

    async def _place(self, parts: list[Part], target: CommitTarget) -> Info:
        """[blob.append.13], [blob.append.14]: a key that changes meanwhile is looked at again."""
        for look in range(1, _LOOKS + 1):
            there = await self._backend.stat(target.key)
            if there is not None and await self._holds(there, target):
                return there
            if there is not None and target.if_absent:
                raise OutriggerError("KEY_EXISTS", f"key {target.key} holds other content already")
            condition = Condition(if_absent=target.if_absent)
            in_time = deadline(target.not_after_ms)
            try:
                return await self._backend.assemble(
                    target.key, checked(read_parts(self._backend, parts), target), target.size, condition, in_time
                )
            except OutriggerError as error:
                if error.reason != "KEY_EXISTS" or look == _LOOKS:
                    raise
        raise AssertionError("unreachable")

    async def _holds(self, there: Info, target: CommitTarget) -> bool:
        """Whether the key holds bytes of this digest: the service does not know, so they are read."""
        if there.size != target.size:
            return False
        algorithm, _, wanted = target.digest.partition(":")
        hasher = hashlib.new(algorithm)
        try:
            async for piece in self._backend.pieces(target.key, 0, there.size, there.etag):
                hasher.update(piece)
        except OutriggerError as error:
            # Gone, changed or damaged: then it does not hold them.
            if error.reason in ("KEY_NOT_FOUND", "ETAG_MISMATCH", "STORED_CORRUPT"):
                return False
            raise
        return hasher.hexdigest() == wanted

    async def wait_for_end(self, upload_id: str) -> None:
        """Returns once no commit of this upload is under way. Of a dead process it is finished here."""
        seen: bytes | None = None
        since = 0.0
        loop = asyncio.get_running_loop()
        while (found := await load(self._backend, upload_id)) is not None and found[0].phase == "committing":
            state, version = found
            if version.data != seen:
                seen, since = version.data, loop.time()
            elif loop.time() - since >= DEAD_AFTER_S:
                await self._finish(upload_id, state, version)
                continue
            await asyncio.sleep(LOOK_S)

    async def _finish(self, upload_id: str, state: State, version: Version) -> None:
        """@raise BACKEND_DOWN and the like: then it stays as it is"""
        target = state.commit
        assert target is not None
        held = HeldUpload(self._backend, upload_id, state, version, [])
        try:
            # The first who writes finishes it.
            await held.swap(state.changed())
            parts = await list_parts(self._backend, upload_id)
            whole = resolved(state.changed(unresolved=(*state.unresolved, state.token)), parts)
            async with self._beating(held):
                await self._finish_placing(cover(whole, parts), target)
        except OutriggerError as error:
            if error.reason == "UPLOAD_FENCED":
                return
            if error.reason not in _WITHOUT_EFFECT:
                raise
            self._log.warning("a commit whose process died could not be finished", exc_info=error)
            with contextlib.suppress(OutriggerError):
                await held.swap(held.state.changed(phase="open", commit=None))
            return
        self._log.info("a commit whose process died was finished")
        await self._end(held)

    async def _finish_placing(self, parts: list[Part], target: CommitTarget) -> None:
        try:
            await self._place(parts, target)
        except OutriggerError as error:
            if error.reason != "TOO_LATE":
                raise
            # What its own process sent in time may be on its way still; after that nothing of it can come.
            while now_ms() <= target.not_after_ms + IN_FLIGHT_MS:
                await asyncio.sleep(LOOK_S)
            there = await self._backend.stat(target.key)
            if there is None or not await self._holds(there, target):
                raise

    async def clean(self, upload_id: str) -> None:
        """Takes a `done` upload's parts away, and its state last: what is interrupted is begun anew later."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def delete(path: str) -> None:
            async with gate:
                await self._backend.delete(path)

        parts = await list_parts(self._backend, upload_id)
        await asyncio.gather(*(delete(part.path) for part in parts))
        found = await self._backend.read_private(state_path(upload_id))
        if found is None or decode(found.data).phase == "done":
            await self._backend.delete(state_path(upload_id))


async def checked(pieces: AsyncIterator[bytes], target: CommitTarget) -> AsyncIterator[bytes]:
    """The same pieces; raises after the last one, and so before they are visible, if they are not what was checked."""
    algorithm, _, wanted = target.digest.partition(":")
    hasher = hashlib.new(algorithm)
    size = 0
    async for piece in pieces:
        hasher.update(piece)
        size += len(piece)
        yield piece
    if size != target.size or hasher.hexdigest() != wanted:
        raise OutriggerError("STORED_CORRUPT", "the service gives the upload's bytes back otherwise than it took them")


def assert_in_time(not_after_ms: int | None) -> None:
    """[call.notafter.01] 0 and None: no limit. @raise TOO_LATE"""
    if not not_after_ms:
        return
    now = now_ms()
    if now > not_after_ms:
        raise OutriggerError(
            "TOO_LATE",
            f"it is {now - not_after_ms} ms past the request's not-after time",
            {"notAfterMs": str(not_after_ms), "nowMs": str(now)},
        )


def deadline(not_after_ms: int | None) -> Callable[[], None]:
    return lambda: assert_in_time(not_after_ms)
