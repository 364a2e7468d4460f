"""OpenDAL's memory service: it has no etags and no times, and nobody else can change it, so both are kept here."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import opendal
from opendal import exceptions
from opendal.types import Metadata

from .backend import Backend, Condition, Info
from .clock import now_ms


class MemoryBackend(Backend):
    def __init__(self, operator: opendal.AsyncOperator, *, part_bytes: int) -> None:
        super().__init__("memory", operator, shared=False, part_bytes=part_bytes)
        self._facts: dict[str, tuple[str, int]] = {}
        self._changing: dict[str, asyncio.Event] = {}

    async def check(self) -> None:
        """It lives as long as this process."""

    def info_of(self, path: str, found: Metadata) -> Info | None:
        """What is listed may be of another moment than the etag kept here: `stat` knows."""
        return None

    async def stat(self, path: str) -> Info | None:
        while True:
            while path in self._changing:
                await self._changing[path].wait()
            facts = self._facts.get(path)
            try:
                found = await self._op.stat(path)
            except exceptions.NotFound:
                found = None
            # Bytes and etag are two places: both as they were before, or look again.
            if path in self._changing or self._facts.get(path) is not facts:
                continue
            if found is None or facts is None:
                return None
            return Info(found.content_length, *facts)

    async def _write_whole(self, path: str, data: bytes, condition: Condition, mark: str) -> None:
        async with self._change(path):
            await super()._write_whole(path, data, condition, mark)
            self._facts[path] = (secrets.token_hex(16), now_ms())

    async def delete(self, path: str, in_time: Callable[[], None] = lambda: None) -> None:
        async with self._alone_with(path, Condition()), self._change(path):
            in_time()
            await self._op.delete(path)
            self._facts.pop(path, None)

    async def _move(self, source: str, there: Info, destination: str, in_time: Callable[[], None]) -> str | None:
        data = await self.read(source, 0, there.size, there.etag)
        in_time()
        await self._write_whole(destination, data, Condition(), "")
        async with self._change(source):
            await self._op.delete(source)
            self._facts.pop(source, None)
        return None

    async def _written(self, path: str, size: int, mark: str | None) -> Info:
        info = await self.stat(path)
        assert info is not None, "its lock is held"
        return info

    @asynccontextmanager
    async def _change(self, path: str) -> AsyncIterator[None]:
        done = self._changing[path] = asyncio.Event()
        try:
            yield
        finally:
            if self._changing.get(path) is done:
                del self._changing[path]
            done.set()
