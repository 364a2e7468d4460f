"""Keys in ascending bytewise order, whatever order the service lists in [blob.list.01]."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from dataclasses import dataclass

from opendal.types import Entry

from .backend import PRIVATE, Backend, Info
from .keys import can_begin_keys, is_key, safe_bound
from .limits import AT_ONCE
from .services import BYTEWISE

_AFTER_PRIVATE = PRIVATE[:-1] + "0"
"""Above everything private: "0" follows "/"."""


@dataclass(frozen=True)
class Item:
    key: str
    info: Info


@dataclass(frozen=True)
class Page:
    items: list[Item]
    more: bool


async def page(backend: Backend, prefix: str, start_after: str, limit: int) -> Page:
    """Keys that begin with prefix and are above start_after, with their info."""
    entries: list[Entry] = []
    more = False
    async for entry in _ascending(backend, prefix, start_after, limit):
        if len(entries) == limit:
            more = True
            break
        entries.append(entry)
    gate = asyncio.Semaphore(AT_ONCE)

    async def item(entry: Entry) -> Item | None:
        info = backend.info_of(entry.path, entry.metadata)
        if info is None:
            async with gate:
                info = await backend.stat(entry.path)
        return None if info is None else Item(entry.path, info)

    found = await asyncio.gather(*(item(entry) for entry in entries))
    items = [one for one in found if one is not None]
    if more and not items:
        # All of them were deleted meanwhile; an empty page must not say more [blob.list.03].
        return await page(backend, prefix, entries[-1].path, limit)
    return Page(items, more)


async def count(backend: Backend, prefix: str) -> int:
    total = 0
    async for _ in _ascending(backend, prefix, "", None):
        total += 1
    return total


async def any_key(backend: Backend) -> bool:
    """Whether there is data."""
    async for _ in _ascending(backend, "", "", 1):
        return True
    return False


async def _ascending(backend: Backend, prefix: str, start_after: str, limit: int | None) -> AsyncIterator[Entry]:
    """At least limit + 1 of the keys, where there are so many."""
    if not can_begin_keys(prefix):
        return
    if not backend.capability.list_with_recursive:
        source = _walk(backend, prefix, start_after, _folder_of(prefix))
    elif backend.service in BYTEWISE:
        source = _as_listed(backend, prefix, max(safe_bound(start_after), _AFTER_PRIVATE))
    elif limit is None:
        source = _as_listed(backend, prefix, "")
    else:
        source = _smallest(backend, prefix, start_after, limit + 1)
    async for entry in source:
        if _is_wanted(entry, prefix, start_after):
            yield entry


def _is_wanted(entry: Entry, prefix: str, start_after: str) -> bool:
    path = entry.path
    return path > start_after and path.startswith(prefix) and not path.endswith("/") and is_key(path)


async def _as_listed(backend: Backend, prefix: str, start_after: str) -> AsyncIterator[Entry]:
    async for entry in backend.entries(prefix, recursive=True, start_after=start_after):
        yield entry


async def _smallest(backend: Backend, prefix: str, start_after: str, most: int) -> AsyncIterator[Entry]:
    """One pass over everything that keeps the `most` smallest: memory is a page's, time is the store's."""
    # Negated for a heap whose first is the largest kept.
    kept: list[tuple[_Descending, Entry]] = []
    async for entry in backend.entries(_folder_of(prefix), recursive=True):
        if not _is_wanted(entry, prefix, start_after):
            continue
        one = (_Descending(entry.path), entry)
        if len(kept) < most:
            heapq.heappush(kept, one)
        elif kept[0][0] < one[0]:
            heapq.heapreplace(kept, one)
    for _, entry in sorted(kept, key=lambda pair: pair[0].path):
        yield entry


@dataclass(frozen=True)
class _Descending:
    path: str

    def __lt__(self, other: _Descending) -> bool:
        return self.path > other.path


async def _walk(backend: Backend, prefix: str, start_after: str, folder: str) -> AsyncIterator[Entry]:
    """Folder by folder: with "/" at their ends, a folder's names sort as the keys below them do. Memory is the largest
    folder's; folders that hold nothing wanted are not opened."""
    names = [entry async for entry in backend.entries(folder or "/", recursive=False)]
    names.sort(key=lambda entry: entry.path)
    for entry in names:
        path = entry.path
        if path in ("/", folder) or path.startswith(PRIVATE):
            continue
        if not path.endswith("/"):
            yield entry
        elif (path.startswith(prefix) or prefix.startswith(path)) and path >= start_after[: len(path)]:
            async for below in _walk(backend, prefix, start_after, path):
                yield below


def _folder_of(prefix: str) -> str:
    return prefix[: prefix.rfind("/") + 1]
