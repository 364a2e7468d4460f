"""Uploads of the store: who may write which one now. Every open takes over, and one stream at a time has the turn."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc

from .backend import Lost
from .clock import now_ms
from .commits import Commits, HeldUpload, assert_in_time
from .errors import OutriggerError, fenced, invalid_field
from .gen.outrigger.blob.v1 import blob_pb2
from .keys import check_integer, check_key, check_upload_id
from .limits import AT_ONCE
from .logs import fields
from .store import Store
from .stream_ends import Inbox, Outbox
from .upload_state import (
    UPLOADS,
    State,
    cover,
    list_parts,
    load,
    new_token,
    persisted_of,
    remember,
    resolved,
    state_path,
)
from .upload_stream import RunningHash, StreamFacts, UploadStream

_ORPHAN_MS = 60 * 60 * 1000
"""Parts without a state, which a killed process left: another one may be about to write the state."""


@dataclass
class _Entry:
    """What this process remembers of an upload while it is there."""

    newest: int = 0
    """The rank of the newest open or abort."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    current: Inbox | None = None
    senders: tuple[tuple[str, int], ...] = ()
    hash: tuple[str, RunningHash] | None = None
    """With the token whose stream left it."""
    used: float = 0.0
    """By the monotonic clock: last opened or grown here; 0: never."""
    gone: bool = True


@dataclass(frozen=True)
class UploadFacts:
    upload_id: str
    persisted: int
    idle_ms: int


class Uploads:
    def __init__(self, store: Store, ttl_ms: int, log: logging.Logger) -> None:
        self._store = store
        self._backend = store.backend
        self._ttl_ms = ttl_ms
        self._log = log
        self._commits = Commits(store.backend, log)
        self._entries: dict[str, _Entry] = {}
        self._fence = 0
        self._streams: set[Inbox] = set()
        self._facts = StreamFacts(
            backend=store.backend,
            commits=self._commits,
            log=log,
            part_bytes=store.part_bytes,
            max_blob_bytes=store.max_blob_bytes,
        )

    # Streams

    async def append(self, context: grpc.aio.ServicerContext, inbox: Inbox) -> None:
        """One Append call, from its first message to its end."""
        outbox = Outbox(context.write, inbox.stop)
        self._streams.add(inbox)
        try:
            first = await inbox.next()
            if first is None:
                raise invalid_field("open", "the stream ended before it")
            if first.WhichOneof("step") != "open":
                raise invalid_field("open", "must be the first message")
            request = first.open
            _check_open(request)
            assert_in_time(request.not_after_ms)
            committed = await self._take_over(request, inbox, outbox)
            if committed is not None:
                # Without the turn: a caller that is slow to read holds nobody up.
                await outbox.send(blob_pb2.AppendResponse(committed=committed))
        finally:
            self._streams.discard(inbox)

    def stop(self, error: OutriggerError) -> None:
        """[process.drain.01] Every stream persists what it has received and ends."""
        for inbox in self._streams:
            inbox.stop(error)

    async def _take_over(self, request: blob_pb2.Open, inbox: Inbox, outbox: Outbox) -> blob_pb2.Committed | None:
        entry = self._entry(request.upload_id)
        entry.senders = remember(entry.senders, request.sender, request.attempt)
        rank = self._supersede(entry, "a newer stream has taken this upload over")
        async with self._in_turn(request.upload_id, entry):
            if entry.newest != rank:
                raise fenced()
            entry.current = inbox
            try:
                inbox.check()
                return await self._serve(request, entry, rank, inbox, outbox)
            finally:
                entry.current = None

    async def _serve(
        self, request: blob_pb2.Open, entry: _Entry, rank: int, inbox: Inbox, outbox: Outbox
    ) -> blob_pb2.Committed | None:
        assert_in_time(request.not_after_ms)
        held = await self._open(request, entry, rank)

        def use() -> None:
            entry.used = time.monotonic()

        use()
        stream = UploadStream(
            self._facts, held, request.algorithm or "sha256", self._left_hash(entry, held), inbox, outbox, use
        )
        try:
            # A newer open that came meanwhile waits for this one's end: it must not be answered any more.
            inbox.check()
            opened = blob_pb2.Opened(persisted=stream.persisted, fence=held.fence)
            await inbox.wait(outbox.send(blob_pb2.AppendResponse(opened=opened)))
            return await stream.run()
        finally:
            left = await stream.end()
            entry.hash = None if left is None else (held.token, left)
            if stream.committed:
                entry.gone = True

    def _left_hash(self, entry: _Entry, held: HeldUpload) -> RunningHash | None:
        """Only of the stream right before: another replica may have written since, other bytes or another upload."""
        left, entry.hash = entry.hash, None
        if left is None or not held.state.base or held.state.base[-1].token != left[0]:
            return None
        return left[1]

    async def _open(self, request: blob_pb2.Open, entry: _Entry, rank: int) -> HeldUpload:
        """@raise UPLOAD_NOT_FOUND, UPLOAD_FENCED"""
        while True:
            with contextlib.suppress(Lost):
                held = await self._try_open(request, rank)
                if held is not None:
                    entry.gone = False
                    return held
                entry.gone = True
                if not request.create:
                    raise OutriggerError("UPLOAD_NOT_FOUND", f"there is no upload {request.upload_id}")
                state = State(
                    phase="open",
                    fence=rank,
                    token=new_token(),
                    opened_ms=now_ms(),
                    senders=remember((), request.sender, request.attempt),
                )
                assert_in_time(request.not_after_ms)
                version = await self._backend.swap(state_path(request.upload_id), None, state.encode())
                entry.gone = False
                return HeldUpload(self._backend, request.upload_id, state, version, [])

    async def _try_open(self, request: blob_pb2.Open, rank: int) -> HeldUpload | None:
        """None: there is no such upload. @raise Lost"""
        upload_id, path = request.upload_id, state_path(request.upload_id)
        await self._commits.wait_for_end(upload_id)
        found = await load(self._backend, upload_id)
        if found is None:
            return None
        state, version = found
        if state.phase == "committing":
            raise Lost
        if state.phase == "done":
            await self._commits.clean(upload_id)
            return None
        state = state.changed(
            fence=max(rank, state.fence + 1),
            opened_ms=now_ms(),
            unresolved=(*state.unresolved, state.token),
            token=new_token(),
            senders=remember(state.senders, request.sender, request.attempt),
        )
        assert_in_time(request.not_after_ms)
        if self._backend.shared:
            # The fence first: what an older stream is told from now on, it is not told.
            version = await self._backend.swap(path, version, state.encode())
        parts = await list_parts(self._backend, upload_id)
        state = resolved(state, parts)
        version = await self._backend.swap(path, version, state.encode())
        return HeldUpload(self._backend, upload_id, state, version, cover(state, parts))

    # Facts

    async def get(self, upload_id: str) -> UploadFacts:
        """@raise UPLOAD_NOT_FOUND"""
        check_upload_id(upload_id)
        facts = await self._facts_of(upload_id)
        if facts is None:
            raise OutriggerError("UPLOAD_NOT_FOUND", f"there is no upload {upload_id}")
        return facts

    async def _facts_of(self, upload_id: str) -> UploadFacts | None:
        found = await load(self._backend, upload_id)
        if found is None or found[0].phase == "done":
            return None
        state = found[0]
        parts = await list_parts(self._backend, upload_id)
        used_ms = max([state.opened_ms, *(part.written_ms for part in parts)])
        idle_ms = max(0, now_ms() - used_ms)
        entry = self._entries.get(upload_id)
        if entry is not None and not entry.gone and entry.used:
            # Bytes received here and not yet persisted are use as well.
            idle_ms = min(idle_ms, int((time.monotonic() - entry.used) * 1000))
        return UploadFacts(upload_id, persisted_of(state, parts), idle_ms)

    async def page(self, start_after: str, limit: int) -> tuple[list[UploadFacts], bool]:
        """Ascending by id, and whether more follow."""
        ids = await self._ids(start_after, limit + 1)
        wanted, more = ids[:limit], len(ids) > limit
        gate = asyncio.Semaphore(AT_ONCE)

        async def facts(upload_id: str) -> UploadFacts | None:
            async with gate:
                return await self._facts_of(upload_id)

        found = [one for one in await asyncio.gather(*map(facts, wanted)) if one is not None]
        if more and not found:
            return await self.page(wanted[-1], limit)
        return found, more

    async def _ids(self, start_after: str, most: int) -> list[str]:
        """Folders are listed in an order of their own ("a-b/" before "a/"): the smallest are chosen here."""
        ids = [
            upload_id
            async for entry in self._backend.entries(UPLOADS, recursive=False)
            if (upload_id := entry.path.removeprefix(UPLOADS).rstrip("/")) > start_after
        ]
        return heapq.nsmallest(most, ids)

    # Ends

    async def abort(self, upload_id: str, if_idle_ms: int | None, not_after_ms: int | None) -> None:
        """@raise UPLOAD_BUSY"""
        check_upload_id(upload_id)
        entry = self._entry(upload_id)
        entry.users += 1
        try:
            if if_idle_ms is not None:
                await self._assert_idle(entry, upload_id, if_idle_ms)
            self._supersede(entry, "the upload was aborted")
            async with self._in_turn(upload_id, entry):
                assert_in_time(not_after_ms)
                await self._abort(upload_id, if_idle_ms)
                entry.gone = True
        finally:
            entry.users -= 1
            self._forget(upload_id, entry)

    async def _assert_idle(self, entry: _Entry, upload_id: str, if_idle_ms: int) -> None:
        newest = entry.newest
        facts = await self._facts_of(upload_id)
        if entry.newest != newest or (facts is not None and facts.idle_ms < if_idle_ms):
            raise OutriggerError("UPLOAD_BUSY", f"upload {upload_id} was used less than {if_idle_ms} ms ago")

    async def _abort(self, upload_id: str, if_idle_ms: int | None) -> None:
        while True:
            await self._commits.wait_for_end(upload_id)
            found = await load(self._backend, upload_id)
            if found is None:
                # Parts that lie there nevertheless are of a process that was killed while it cleaned up.
                return
            state, version = found
            if state.phase == "committing":
                continue
            if state.phase == "open":
                # Another replica may have opened it since.
                if if_idle_ms is not None and now_ms() - state.opened_ms < if_idle_ms:
                    raise OutriggerError("UPLOAD_BUSY", f"upload {upload_id} was used less than {if_idle_ms} ms ago")
                try:
                    done = state.changed(phase="done").encode()
                    await self._backend.swap(state_path(upload_id), version, done)
                except Lost:
                    continue
            await self._commits.clean(upload_id)
            return

    async def expire(self) -> None:
        """[blob.expiry.01] Ends what nobody used for the ttl, and takes away what killed processes left."""
        for upload_id in await self._ids("", 1_000_000):
            try:
                facts = await self._facts_of(upload_id)
                if facts is None:
                    await self._clean_left(upload_id)
                elif facts.idle_ms > self._ttl_ms:
                    await self.abort(upload_id, self._ttl_ms, None)
                    self._log.info("an idle upload has expired", extra=fields(uploadId=upload_id))
            except OutriggerError as error:
                if error.reason != "UPLOAD_BUSY":
                    self._log.warning("an idle upload could not be expired", exc_info=error)

    async def _clean_left(self, upload_id: str) -> None:
        entry = self._entry(upload_id)
        async with self._in_turn(upload_id, entry):
            found = await load(self._backend, upload_id)
            if found is not None and found[0].phase != "done":
                return
            parts = await list_parts(self._backend, upload_id)
            newest_ms = max((part.written_ms for part in parts), default=0)
            if found is not None or not self._backend.shared or now_ms() - newest_ms > _ORPHAN_MS:
                await self._commits.clean(upload_id)

    # Entries

    def _entry(self, upload_id: str) -> _Entry:
        return self._entries.setdefault(upload_id, _Entry())

    def _supersede(self, entry: _Entry, why: str) -> int:
        """Takes the newest rank and ends the stream that has the turn."""
        # From the clock, so that a rank is above those that this process's predecessor gave.
        self._fence = max(self._fence + 1, now_ms() * 1000)
        entry.newest = self._fence
        if entry.current is not None:
            entry.current.stop(fenced(why))
        return self._fence

    @contextlib.asynccontextmanager
    async def _in_turn(self, upload_id: str, entry: _Entry) -> AsyncIterator[None]:
        entry.users += 1
        try:
            async with entry.turn:
                yield
        finally:
            entry.users -= 1
            self._forget(upload_id, entry)

    def _forget(self, upload_id: str, entry: _Entry) -> None:
        if not entry.gone:
            return
        entry.hash = None
        if entry.users == 0 and self._entries.get(upload_id) is entry:
            del self._entries[upload_id]


def _check_open(request: blob_pb2.Open) -> None:
    check_upload_id(request.upload_id)
    if len(request.sender) > 256:
        raise invalid_field("open.sender", "has more than 256 characters")
    if request.algorithm not in ("", "sha256", "sha512"):
        raise invalid_field("open.algorithm", "is neither sha256 nor sha512")
    if request.key:
        check_key(request.key)
    check_integer("open.attempt", request.attempt)
    check_integer("open.not_after_ms", request.not_after_ms)
    if request.HasField("size"):
        check_integer("open.size", request.size)
