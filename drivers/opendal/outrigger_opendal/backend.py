"""Objects of an OpenDAL service as this driver uses them: whole or absent, with etags, conditional where asked.

Two kinds of service: those whose writes can be conditional (`shared`), where several processes may serve one store, and
the others, where this process is alone with the store and conditions are kept by locks of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

import opendal
from opendal import exceptions
from opendal.types import Metadata

from .clock import micros_of, now_ms
from .errors import LOST_CONDITION, SERVICE_ERRORS, OutriggerError, raise_of_service
from .limits import MIB, PIECE_BYTES
from .locks import KeyedLocks
from .services import COPY_MOST_BYTES, retrying

PRIVATE: Final = "!outrigger/"
"""What is not a blob lies below it. No key can: "!" is not in their alphabet, and sorts before all of it."""

_MARK: Final = "outrigger-write"
"""User metadata of what is written where others write too: tells whose content is there."""
_MULTIPART_MOST: Final = 9_000
"""Services take 10,000 parts."""


@dataclass(frozen=True)
class Info:
    size: int
    etag: str
    modified_ms: int


@dataclass(frozen=True)
class Condition:
    """At most one of both; none: always."""

    if_absent: bool = False
    if_etag: str | None = None


ALWAYS: Final = Condition()


@dataclass(frozen=True)
class Version:
    """One content of a private object: what `swap` compares with."""

    data: bytes
    etag: str


class Lost(Exception):
    """A swap found another content than the expected one."""


class Backend:
    """Paths are keys, or begin with PRIVATE. Errors are OutriggerErrors; absent is None unless said otherwise."""

    def __init__(self, service: str, operator: opendal.AsyncOperator, *, shared: bool, part_bytes: int) -> None:
        self.service = service
        self.shared = shared
        self.part_bytes = part_bytes
        self.capability = operator.capability()
        self._once = operator
        self._op = retrying(operator)
        self._locks = KeyedLocks()

    @property
    def writes_pieces(self) -> bool:
        """Otherwise an object is written from memory, in one call."""
        return self.capability.write_can_multi

    async def check(self) -> None:
        """@raise OutriggerError while the service is not usable"""
        try:
            await self._once.stat(f"{PRIVATE}store")
        except SERVICE_ERRORS as error:
            raise_of_service(error, "the service does not answer")

    async def close(self) -> None:
        """Gives locks up."""

    # What is there

    def etag_of(self, path: str, found: Metadata) -> str | None:
        """None: the service gives none here, ask `stat`."""
        return found.etag

    def info_of(self, path: str, found: Metadata) -> Info | None:
        etag = self.etag_of(path, found)
        return None if etag is None else Info(found.content_length, etag, micros_of(found.last_modified) // 1000)

    async def stat(self, path: str) -> Info | None:
        try:
            found = await self._op.stat(path)
        except (exceptions.NotFound, exceptions.NotADirectory):
            return None
        except SERVICE_ERRORS as error:
            if "Not a directory" in str(error):
                return None
            raise_of_service(error, "stat")
        if not found.is_file:
            return None
        info = self.info_of(path, found)
        if info is None:
            raise OutriggerError("INTERNAL", f"the service {self.service} gives no etags: it cannot be a blob store")
        return info

    async def read(self, path: str, offset: int, size: int, etag: str | None = None) -> bytes:
        """Exactly `size` bytes, of the content that has this etag.

        @raise KEY_NOT_FOUND, ETAG_MISMATCH, STORED_CORRUPT
        """
        if size == 0:
            return b""
        condition: dict[str, Any] = (
            {"if_match": etag} if etag is not None and self.capability.read_with_if_match else {}
        )
        try:
            data = await self._op.read(path, offset=offset, size=size, **condition)
        except exceptions.RangeNotSatisfied:
            data = b""
        except SERVICE_ERRORS as error:
            raise_of_service(error, "read")
        if etag is not None and not condition:
            # No two contents share an etag: if it is this one still, it was this one when the bytes were read.
            now = await self.stat(path)
            if now is None or now.etag != etag:
                raise OutriggerError("ETAG_MISMATCH", f"{path} has changed while it was read")
        if len(data) != size:
            raise OutriggerError("STORED_CORRUPT", f"{path} gives {len(data)} of {size} bytes from {offset} on")
        return data

    async def read_private(self, path: str) -> Version | None:
        """A small object as a whole, with what `swap` needs."""
        while True:
            try:
                if not self.shared:
                    return Version(await self._op.read(path), "")
                etag = (await self._op.stat(path)).etag or ""
                return Version(await self._op.read(path, if_match=etag), etag)
            except exceptions.ConditionNotMatch:
                continue
            except (exceptions.NotFound, exceptions.NotADirectory):
                return None
            except SERVICE_ERRORS as error:
                raise_of_service(error, "read")

    def entries(self, path: str, *, recursive: bool, start_after: str = "") -> AsyncIterator[opendal.types.Entry]:
        """As the service lists them, in its order. @raise opendal's exceptions while it is iterated"""
        return self._entries(path, recursive, start_after)

    async def _entries(self, path: str, recursive: bool, start_after: str) -> AsyncIterator[opendal.types.Entry]:
        begin = start_after if start_after and self.capability.list_with_start_after else None
        try:
            async for entry in await self._op.list(path, recursive=recursive, start_after=begin):
                yield entry
        except exceptions.NotFound:
            return
        except SERVICE_ERRORS as error:
            raise_of_service(error, "list")

    # What changes

    async def write(self, path: str, data: bytes, condition: Condition, in_time: Callable[[], None]) -> Info:
        """A small object. @raise KEY_EXISTS, ETAG_MISMATCH"""

        async def one() -> AsyncIterator[bytes]:
            yield data

        return await self.assemble(path, one(), len(data), condition, in_time)

    async def assemble(
        self,
        path: str,
        pieces: AsyncIterator[bytes],
        size: int,
        condition: Condition,
        in_time: Callable[[], None],
    ) -> Info:
        """An object from its pieces: nothing is visible before `in_time` has been asked, everything after.

        `pieces` raises where they turn out to be wrong: then nothing becomes visible.
        @raise KEY_EXISTS, ETAG_MISMATCH, or what `pieces` and `in_time` raise
        """
        mark = secrets.token_hex(12)
        async with self._alone_with(path, condition):
            try:
                if size <= PIECE_BYTES or not self.writes_pieces:
                    data = b"".join([piece async for piece in pieces])
                    in_time()
                    await self._write_whole(path, data, condition, mark)
                else:
                    await self._write_pieces(path, pieces, size, condition, in_time, mark)
            except LOST_CONDITION as error:
                if condition.if_absent:
                    raise OutriggerError("KEY_EXISTS", f"key {path} exists already") from error
                if condition.if_etag is not None:
                    raise OutriggerError("ETAG_MISMATCH", f"key {path} has another etag") from error
                raise_of_service(error, "write")
            except (*SERVICE_ERRORS, OSError) as error:
                raise_of_service(error, "write")
            return await self._written(path, size, mark)

    async def _write_whole(self, path: str, data: bytes, condition: Condition, mark: str) -> None:
        await self._writing(condition).write(path, data, **self._write_options(condition, mark))

    def _writing(self, condition: Condition) -> opendal.AsyncOperator:
        """Without a condition each step may be repeated; with one a repetition would lose to itself."""
        return self._once if self.shared and condition != ALWAYS else self._op

    def _write_options(self, condition: Condition, mark: str) -> dict[str, Any]:
        if not self.shared:
            return {}
        options: dict[str, Any] = {"user_metadata": {_MARK: mark}} if self.capability.write_with_user_metadata else {}
        if condition.if_absent:
            options["if_not_exists"] = True
        elif condition.if_etag is not None:
            options["if_match"] = condition.if_etag
        return options

    async def _write_pieces(
        self,
        path: str,
        pieces: AsyncIterator[bytes],
        size: int,
        condition: Condition,
        in_time: Callable[[], None],
        mark: str,
    ) -> None:
        chunk = max(self.part_bytes, -(-size // _MULTIPART_MOST), self.capability.write_multi_min_size or 0)
        options = {"chunk": -(-chunk // MIB) * MIB, **self._write_options(condition, mark)}
        # Never `async with`: it closes, and so shows, what was written when an error ends the block.
        writer = await self._writing(condition).open(path, "wb", **options)
        async for piece in pieces:
            await writer.write(piece)
        in_time()
        await writer.close()

    async def _written(self, path: str, size: int, mark: str | None) -> Info:
        """What the key holds, if it still is what was written: another's etag must not be told as this content's."""
        try:
            found = await self._op.stat(path)
        except exceptions.NotFound:
            found = None
        except SERVICE_ERRORS as error:
            raise_of_service(error, "stat")
        info = None if found is None or not found.is_file else self.info_of(path, found)
        if found is not None and info is not None and info.size == size:
            marked = (found.user_metadata or {}).get(_MARK)
            if not self.shared or mark is None or not self.capability.write_with_user_metadata or marked == mark:
                return info
        # Overwritten or deleted at once: an etag that nothing has, as is right for content that is nowhere.
        return Info(size, f"gone-{secrets.token_hex(12)}", now_ms())

    @contextlib.asynccontextmanager
    async def _alone_with(self, path: str, condition: Condition) -> AsyncIterator[None]:
        """Where the service cannot compare: locked, and compared here. @raise KEY_EXISTS, ETAG_MISMATCH"""
        async with contextlib.AsyncExitStack() as stack:
            if not self.shared and not path.startswith(PRIVATE):
                await stack.enter_async_context(self._locks.hold(path))
                if condition != ALWAYS:
                    await self._compare(path, condition)
            yield

    async def _compare(self, path: str, condition: Condition) -> None:
        there = await self.stat(path)
        if condition.if_absent and there is not None:
            raise OutriggerError("KEY_EXISTS", f"key {path} exists already")
        if condition.if_etag is not None and (there is None or there.etag != condition.if_etag):
            raise OutriggerError("ETAG_MISMATCH", f"key {path} has another etag, or is absent")

    async def write_part(self, path: str, data: bytes) -> None:
        """A private object that is written once and never changed: whole and lasting once this returns."""
        try:
            await self._op.write(path, data)
        except SERVICE_ERRORS as error:
            raise_of_service(error, "write")

    async def swap(self, path: str, expected: Version | None, data: bytes) -> Version:
        """Compare and set of a private object, whose contents never repeat. @raise Lost"""
        if not self.shared:
            async with self._locks.hold(path):
                there = await self.read_private(path)
                if (there and there.data) != (expected and expected.data):
                    raise Lost
                await self.write_part(path, data)
                return Version(data, "")
        lost: BaseException | None = None
        try:
            if expected is None:
                await self._op.write(path, data, if_not_exists=True)
            else:
                await self._op.write(path, data, if_match=expected.etag)
        except LOST_CONDITION as error:
            # Also what a repetition meets whose first try did take place: what is there now decides.
            lost = error
        except SERVICE_ERRORS as error:
            raise_of_service(error, "write")
        there = await self.read_private(path)
        if there is None or there.data != data:
            raise Lost from lost
        return there

    async def unchanged(self, path: str, version: Version) -> bool:
        """Whether a private object is still what this process swapped in. Alone, nobody else can have changed it."""
        if not self.shared:
            return True
        try:
            return (await self._op.stat(path)).etag == version.etag
        except exceptions.NotFound:
            return False
        except SERVICE_ERRORS as error:
            raise_of_service(error, "stat")

    async def delete(self, path: str, in_time: Callable[[], None] = lambda: None) -> None:
        """An absent one is fine."""
        async with self._alone_with(path, ALWAYS):
            in_time()
            try:
                await self._op.delete(path)
            except (exceptions.NotFound, exceptions.NotADirectory):
                return
            except SERVICE_ERRORS as error:
                if "Not a directory" not in str(error):
                    raise_of_service(error, "delete")

    async def move(self, source: str, destination: str, in_time: Callable[[], None]) -> Info:
        """@raise KEY_NOT_FOUND"""
        # In one order, whichever way round two moves go.
        first, second = sorted((source, destination))
        async with self._alone_with(first, ALWAYS), self._alone_with(second, ALWAYS):
            there = await self.stat(source)
            if there is None:
                raise OutriggerError("KEY_NOT_FOUND", f"there is no key {source}")
            try:
                mark = await self._move(source, there, destination, in_time)
            except exceptions.NotFound as error:
                raise OutriggerError("KEY_NOT_FOUND", f"there is no key {source}") from error
            except (*SERVICE_ERRORS, OSError) as error:
                raise_of_service(error, "move")
            return await self._written(destination, there.size, mark)

    async def _move(self, source: str, there: Info, destination: str, in_time: Callable[[], None]) -> str | None:
        """Copied, then deleted: who reads the destination sees one change. @return the mark that it bears now"""
        mark: str | None = secrets.token_hex(12)
        if self.capability.copy and there.size <= COPY_MOST_BYTES:
            mark = ((await self._op.stat(source)).user_metadata or {}).get(_MARK)
            in_time()
            await self._op.copy(source, destination)
        elif there.size <= PIECE_BYTES or not self.writes_pieces:
            data = await self.read(source, 0, there.size, there.etag)
            in_time()
            await self._write_whole(destination, data, ALWAYS, mark or "")
        else:
            pieces = self.pieces(source, 0, there.size, there.etag)
            await self._write_pieces(destination, pieces, there.size, ALWAYS, in_time, mark or "")
        await self._op.delete(source)
        return mark

    async def pieces(self, path: str, offset: int, size: int, etag: str | None) -> AsyncGenerator[bytes, None]:
        """The bytes in order, one piece fetched ahead. @raise as `read`"""
        end = offset + size
        ahead: asyncio.Task[bytes] | None = None

        def fetch(start: int) -> asyncio.Task[bytes] | None:
            if start >= end:
                return None
            return asyncio.create_task(self.read(path, start, min(PIECE_BYTES, end - start), etag))

        try:
            ahead = fetch(offset)
            while ahead is not None:
                piece = await ahead
                offset += len(piece)
                ahead = fetch(offset)
                yield piece
        finally:
            if ahead is not None:
                ahead.cancel()
                with contextlib.suppress(BaseException):
                    await ahead
