"""One Append stream that has the turn on its upload: chunks, flushes, commit, and a clean end whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .backend import Backend
from .clock import now_ms
from .errors import OutriggerError, fenced, invalid_field
from .gen.outrigger.blob.v1 import blob_pb2
from .keys import check_digest, check_integer, check_key
from .limits import CHUNK_BYTES, PROGRESS_EVERY_S
from .stream_ends import Inbox, Outbox
from .upload_state import CommitTarget, Part, part_path

if TYPE_CHECKING:
    from hashlib import _Hash

    from .commits import Commits

FENCE_LOOK_S = 2.0
"""How often a stream looks whether another replica has taken its upload over."""


@dataclass
class RunningHash:
    """A hash of an upload's first `position` bytes."""

    algorithm: str
    hasher: _Hash
    position: int


class Held(Protocol):
    """An upload as the one who holds it knows it: its parts, and whether it is still theirs."""

    upload_id: str
    token: str
    fence: int
    parts: list[Part]

    async def mine(self) -> bool: ...


@dataclass(frozen=True)
class StreamFacts:
    backend: Backend
    commits: Commits
    log: logging.Logger
    part_bytes: int
    max_blob_bytes: int


class UploadStream:
    def __init__(
        self,
        facts: StreamFacts,
        held: Held,
        algorithm: str,
        left: RunningHash | None,
        inbox: Inbox,
        outbox: Outbox,
        on_use: Callable[[], None],
    ) -> None:
        self._facts = facts
        self._held = held
        self._algorithm = algorithm
        self._inbox = inbox
        self._outbox = outbox
        self._on_use = on_use
        self.persisted = held.parts[-1].end if held.parts else 0
        self._received = self.persisted
        self._hash = self._starting_hash(left)
        self._buffer = bytearray()
        self._writing: asyncio.Task[None] | None = None
        # Bytes of chunks since progress was told, skipped ones too.
        self._untold = 0
        self._broken = False
        self.committed = False

    def _starting_hash(self, left: RunningHash | None) -> RunningHash | None:
        if left is not None and left.algorithm == self._algorithm and left.position == self._received:
            return left
        # Bytes that nobody here has hashed are read again at commit, and only then.
        return RunningHash(self._algorithm, hashlib.new(self._algorithm), 0) if self._received == 0 else None

    async def run(self) -> blob_pb2.Committed | None:
        """Everything after `opened`. Returns when the stream may end with OK, with what is to be answered last."""
        looking = asyncio.create_task(self._look_at_fence()) if self._facts.backend.shared else None
        try:
            while (request := await self._inbox.next()) is not None:
                self._untold += request.ByteSize()
                step = request.WhichOneof("step")
                if step == "chunk":
                    await self._chunk(request.chunk)
                elif step == "flush":
                    await self._flush()
                    self._tell()
                elif step == "commit":
                    return await self._commit(request.commit)
                elif step == "open":
                    raise invalid_field("open", "only the first message opens")
                else:
                    raise invalid_field("step", "the message is none of chunk, flush and commit")
                self._inbox.check()
            await self._flush()
            self._tell()
            await self._inbox.wait(self._outbox.told())
            return None
        finally:
            if looking is not None:
                looking.cancel()

    async def _look_at_fence(self) -> None:
        while True:
            await asyncio.sleep(FENCE_LOOK_S)
            with contextlib.suppress(OutriggerError):
                if not self.committed and not await self._held.mine():
                    self._inbox.stop(fenced())
                    return

    async def _chunk(self, chunk: blob_pb2.Chunk) -> None:
        if not chunk.HasField("offset"):
            raise OutriggerError("OFFSET_REQUIRED", "chunk.offset: is absent")
        offset = check_integer("chunk.offset", chunk.offset)
        data = chunk.data
        if len(data) > CHUNK_BYTES:
            raise invalid_field("chunk.data", f"{len(data)} bytes are more than {CHUNK_BYTES}")
        if offset > self._received:
            await self._flush()
            raise OutriggerError(
                "OFFSET_MISMATCH",
                f"offset {offset} is beyond the {self._received} bytes received",
                {"persisted": str(self.persisted)},
            )
        known = self._received - offset
        if known < len(data):
            await self._write(data[known:] if known else data)
        if self._untold * 2 >= self._facts.part_bytes:
            self._tell()

    async def _write(self, data: bytes) -> None:
        most = self._facts.max_blob_bytes
        if most and self._received + len(data) > most:
            raise invalid_field("chunk.data", f"the upload would pass this store's {most} bytes for a blob")
        view = memoryview(data)
        while view:
            # Parts end at multiples of the part size, whatever flushes come between.
            room = self._facts.part_bytes - self._received % self._facts.part_bytes
            piece, view = view[:room], view[room:]
            self._buffer += piece
            self._received += len(piece)
            if len(piece) == room:
                await self._send_part()
        if self._hash is not None:
            self._hash.hasher.update(data)
            self._hash.position += len(data)
        self._on_use()

    async def _send_part(self) -> None:
        """Begins to write what is buffered. One part is under way while the next one fills."""
        await self._written()
        if self._buffer:
            data, self._buffer = bytes(self._buffer), bytearray()
            self._writing = asyncio.create_task(self._write_part(data, self._received - len(data)))

    async def _written(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await self._driver(asyncio.shield(writing))

    async def _write_part(self, data: bytes, start: int) -> None:
        held, end = self._held, start + len(data)
        written_ms = now_ms()
        path = part_path(held.upload_id, held.token, start, end, written_ms)
        await self._facts.backend.write_part(path, data)
        # Only now: an Open that came before looks at the parts after its token is in, and so sees this one.
        if not await held.mine():
            raise fenced()
        held.parts.append(Part(path, held.token, start, end, written_ms))
        self.persisted = end
        self._tell()

    async def _flush(self) -> None:
        """[blob.append.10]"""
        await self._send_part()
        await self._written()

    def _tell(self) -> None:
        self._untold = 0
        self._outbox.progress(self._received, self.persisted)

    async def _commit(self, commit: blob_pb2.Commit) -> blob_pb2.Committed:
        """Not the caller's once it has begun: who lost its stream in the middle asks for the key, and finds it."""
        check_key(commit.key)
        wanted = check_digest(commit.digest)
        not_after_ms = check_integer("commit.not_after_ms", commit.not_after_ms)
        if commit.HasField("size") and check_integer("commit.size", commit.size) != self._received:
            raise OutriggerError(
                "SIZE_MISMATCH",
                f"the upload holds {self._received} bytes, not {commit.size}",
                {"size": str(self._received)},
            )
        ticking = asyncio.create_task(self._tick())
        try:
            await self._flush()
            algorithm = wanted.split(":")[0] if wanted else self._algorithm
            digest = await self._digest(algorithm)
            if wanted is not None and digest != wanted:
                raise OutriggerError(
                    "DIGEST_MISMATCH", f"the upload's bytes have digest {digest}, not {wanted}", {"digest": digest}
                )
            target = CommitTarget(commit.key, self._received, digest, commit.if_absent, not_after_ms)
            info = await self._driver(self._facts.commits.commit(self._held, target))
            self.committed = True
            return blob_pb2.Committed(
                info=blob_pb2.BlobInfo(key=commit.key, size=info.size, etag=info.etag, modified_ms=info.modified_ms),
                digest=digest,
            )
        finally:
            ticking.cancel()

    async def _tick(self) -> None:
        """[blob.append.17]"""
        while True:
            await asyncio.sleep(PROGRESS_EVERY_S)
            self._tell()

    async def _digest(self, algorithm: str) -> str:
        """Of the upload's own bytes: from the running hash, or by reading what the service holds."""
        running = self._hash
        if running is None or running.algorithm != algorithm or running.position != self._received:
            hasher = hashlib.new(algorithm)
            async for piece in read_parts(self._facts.backend, self._held.parts):
                hasher.update(piece)
            running = self._hash = RunningHash(algorithm, hasher, self._received)
        return f"{algorithm}:{running.hasher.hexdigest()}"

    async def _driver(self, work: Coroutine[Any, Any, Any] | asyncio.Future[Any]) -> Any:
        """A failed write may have left a gap: nothing more is written after it."""
        try:
            return await work
        except OutriggerError as error:
            if error.reason not in ("KEY_EXISTS", "ETAG_MISMATCH", "TOO_LATE"):
                self._broken = True
            raise
        except BaseException:
            self._broken = True
            raise

    async def end(self) -> RunningHash | None:
        """Persists what was received, as far as the service can. Never raises.

        @return the hash for whoever goes on, if it is of exactly the persisted bytes
        """
        try:
            if self._broken:
                await self._written()
            elif not self.committed:
                await self._flush()
        except Exception as error:
            if not (isinstance(error, OutriggerError) and error.reason == "UPLOAD_FENCED"):
                self._facts.log.warning("an upload's last bytes could not be persisted", exc_info=error)
        usable = not self.committed and not self._broken and self._hash and self._hash.position == self.persisted
        return self._hash if usable else None


async def read_parts(backend: Backend, parts: list[Part]) -> AsyncIterator[bytes]:
    """@raise STORED_CORRUPT"""
    for part in parts:
        try:
            async for piece in backend.pieces(part.path, 0, part.end - part.start, None):
                yield piece
        except OutriggerError as error:
            if error.reason != "KEY_NOT_FOUND":
                raise
            raise OutriggerError("STORED_CORRUPT", "a part of the upload is missing from the service") from error
