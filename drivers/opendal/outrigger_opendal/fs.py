"""OpenDAL's fs service, made lasting: written aside, synced, given a time of its own, renamed, the name synced.

OpenDAL syncs nothing and its fs has no etags. What is done here beside it: fsync, the modification time (unique for
ever, so that it and the size are an etag), the rename, folders that became empty, and the lock that keeps a second
process away.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import opendal
from opendal.types import Metadata

from .backend import PRIVATE, Backend, Condition, Info
from .clock import micros_of
from .errors import OutriggerError, UsageError, key_conflict, raise_of_service

_RESERVED_MICROS: Final = 10_000_000
_STAGING: Final = f"{PRIVATE}staging"
ATOMIC: Final = f"{PRIVATE}atomic"
"""OpenDAL's own place for files that are not yet whole."""


def lock_root(root: Path, wait_ms: int) -> int:
    """@return a descriptor to keep. @raise UsageError when another process serves this root"""
    (root / PRIVATE).mkdir(parents=True, exist_ok=True)
    lock = os.open(root / PRIVATE / "lock", os.O_RDWR | os.O_CREAT, 0o640)
    deadline = time.monotonic() + wait_ms / 1000
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                os.close(lock)
                raise UsageError(f"the root {root} cannot be locked: {error.strerror}") from error
            if time.monotonic() >= deadline:
                os.close(lock)
                raise UsageError(f"another process serves {root}: stop it, or give --lock-wait 60s") from error
            time.sleep(0.05)


def assert_case_kept(root: Path) -> None:
    """@raise UsageError where `a` and `A` are one name"""
    mark = root / PRIVATE / "case"
    mark.touch()
    if (root / PRIVATE / "CASE").exists():
        raise UsageError(f"the file system of {root} takes upper and lower case for one: keys need one that does not")


def _empty(folder: Path) -> None:
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink(missing_ok=True)


class FsBackend(Backend):
    def __init__(self, operator: opendal.AsyncOperator, root: Path, *, part_bytes: int, lock: int | None) -> None:
        super().__init__("fs", operator, shared=False, part_bytes=part_bytes)
        self._root = root
        self._lock = lock
        # A folder must not be taken away between its making and the rename into it.
        self._names = asyncio.Lock()
        self._last_micros = 0
        self._reserved_micros = 0
        if lock is not None:
            for leftover in (_STAGING, ATOMIC):
                _empty(root / leftover)
            self._last_micros = self._reserved_micros = self._read_mark()

    async def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def etag_of(self, path: str, found: Metadata) -> str | None:
        return f"{micros_of(found.last_modified):x}-{found.content_length:x}"

    async def _write_whole(self, path: str, data: bytes, condition: Condition, mark: str) -> None:
        staged = self._staged()
        try:
            await self._op.write(staged, data)
            await self._show(staged, path, lambda: None)
        except BaseException:
            await self._discard(staged)
            raise

    async def _write_pieces(
        self,
        path: str,
        pieces: AsyncIterator[bytes],
        size: int,
        condition: Condition,
        in_time: Callable[[], None],
        mark: str,
    ) -> None:
        staged = self._staged()
        try:
            writer = await self._op.open(staged, "wb")
            try:
                async for piece in pieces:
                    await writer.write(piece)
            finally:
                await writer.close()
            await self._show(staged, path, in_time)
        except BaseException:
            await self._discard(staged)
            raise

    async def write_part(self, path: str, data: bytes) -> None:
        try:
            await self._write_whole(path, data, Condition(), "")
        except OSError as error:
            raise_of_service(error, "write")

    async def delete(self, path: str, in_time: Callable[[], None] = lambda: None) -> None:
        async with self._alone_with(path, Condition()):
            in_time()
            async with self._names:
                await asyncio.to_thread(self._unlink, self._root / path)

    async def _move(self, source: str, there: Info, destination: str, in_time: Callable[[], None]) -> str | None:
        async with self._names:
            in_time()
            await asyncio.to_thread(self._rename, self._root / source, self._root / destination)
            await asyncio.to_thread(self._prune, (self._root / source).parent)
        return None

    def _staged(self) -> str:
        return f"{_STAGING}/{uuid.uuid4().hex}"

    async def _show(self, staged: str, path: str, in_time: Callable[[], None]) -> None:
        micros = await self._next_micros()
        await asyncio.to_thread(self._seal, self._root / staged, micros)
        async with self._names:
            in_time()
            await asyncio.to_thread(self._rename, self._root / staged, self._root / path)

    async def _discard(self, staged: str) -> None:
        with contextlib.suppress(OSError):
            await asyncio.to_thread(os.unlink, self._root / staged)

    def _seal(self, file: Path, micros: int) -> None:
        os.utime(file, ns=(micros * 1000, micros * 1000))
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _rename(self, source: Path, target: Path) -> None:
        changed = {target.parent}
        folder = target.parent
        while not folder.exists():
            changed.add(folder.parent)
            folder = folder.parent
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.rename(source, target)
            except IsADirectoryError:
                # Left empty by a crash: no key is below it.
                self._remove_empty(target)
                os.rename(source, target)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise key_conflict() from error
        for one in changed:
            self._sync_folder(one)

    def _unlink(self, file: Path) -> None:
        try:
            os.unlink(file)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return
        except PermissionError:
            # What unlink of a folder is on some systems.
            if file.is_dir():
                return
            raise
        self._sync_folder(file.parent)
        self._prune(file.parent)

    def _prune(self, folder: Path) -> None:
        """An empty folder would stand in the way of a key of its name."""
        while folder != self._root and folder != self._root / PRIVATE.rstrip("/"):
            try:
                os.rmdir(folder)
            except OSError:
                return
            folder = folder.parent

    def _remove_empty(self, folder: Path) -> None:
        for path, _, _ in os.walk(folder, topdown=False):
            try:
                os.rmdir(path)
            except OSError as error:
                raise IsADirectoryError(errno.EISDIR, "there are keys below it", str(folder)) from error

    def _sync_folder(self, folder: Path) -> None:
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    # Times that never repeat

    async def _next_micros(self) -> int:
        """Above every one before, also before a restart or with the clock set back."""
        self._last_micros = max(time.time_ns() // 1000, self._last_micros + 1)
        micros = self._last_micros
        if micros > self._reserved_micros:
            self._reserved_micros = micros + _RESERVED_MICROS
            self._write_mark(self._reserved_micros)
        return micros

    def _read_mark(self) -> int:
        try:
            return int((self._root / PRIVATE / "mark").read_text())
        except FileNotFoundError:
            return 0
        except ValueError as error:
            raise OutriggerError("STORED_CORRUPT", f"{self._root / PRIVATE / 'mark'} does not hold a number") from error

    def _write_mark(self, micros: int) -> None:
        """On this thread: nobody may be given a time that is not yet reserved."""
        fresh = self._root / PRIVATE / "mark.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        try:
            os.write(descriptor, str(micros).encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(fresh, self._root / PRIVATE / "mark")
        self._sync_folder(self._root / PRIVATE)
