"""What is kept of an upload in the service: one state object, changed by compare-and-set, and parts that never change.

    !outrigger/uploads/<id>/state
    !outrigger/uploads/<id>/parts/<token>.<start>-<end>.<unix ms>

Every stream that takes an upload over gets a token of its own, and its parts bear it. An Open writes its token into the
state (from then on no older stream's part can be acknowledged), then looks which parts the older ones left, and writes
down how far each counts. What an older stream still writes after that counts for nothing: that is the barrier
[blob.append.04], whoever's bytes they are.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Final, Literal

from .backend import PRIVATE, Backend, Version
from .errors import OutriggerError, fenced
from .limits import SENDERS_REMEMBERED

UPLOADS: Final = f"{PRIVATE}uploads/"
_PART = re.compile(r"([0-9a-f]{16})\.([0-9a-f]{14})-([0-9a-f]{14})\.([0-9a-f]{12})")


def state_path(upload_id: str) -> str:
    return f"{UPLOADS}{upload_id}/state"


def parts_folder(upload_id: str) -> str:
    return f"{UPLOADS}{upload_id}/parts/"


@dataclass(frozen=True)
class Part:
    path: str
    token: str
    start: int
    end: int
    written_ms: int


def part_path(upload_id: str, token: str, start: int, end: int, written_ms: int) -> str:
    return f"{parts_folder(upload_id)}{token}.{start:014x}-{end:014x}.{written_ms:012x}"


@dataclass(frozen=True)
class Range:
    """Bytes of the upload that one token's parts hold."""

    token: str
    start: int
    end: int


@dataclass(frozen=True)
class CommitTarget:
    """A commit whose bytes are checked already: whoever finds it may finish it."""

    key: str
    size: int
    digest: str
    if_absent: bool
    not_after_ms: int


Phase = Literal["open", "committing", "done"]


@dataclass(frozen=True)
class State:
    phase: Phase
    fence: int
    token: str
    opened_ms: int
    base: tuple[Range, ...] = ()
    """What counts, from 0 on, without a gap."""
    unresolved: tuple[str, ...] = ()
    """Older tokens whose parts have not been looked at yet, in order."""
    senders: tuple[tuple[str, int], ...] = ()
    """Highest attempt by sender, oldest sender first [blob.append.05]."""
    commit: CommitTarget | None = None
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))
    """No two states are the same bytes."""

    @property
    def base_end(self) -> int:
        return self.base[-1].end if self.base else 0

    def changed(self, **changes: object) -> State:
        return replace(self, nonce=secrets.token_hex(8), **changes)  # type: ignore[arg-type]

    def encode(self) -> bytes:
        return json.dumps({"v": 1, **asdict(self)}, separators=(",", ":")).encode()


def decode(data: bytes) -> State:
    try:
        raw = json.loads(data)
        if raw.pop("v") != 1:
            raise ValueError("of an unknown version")
        raw["base"] = tuple(Range(**one) for one in raw["base"])
        raw["unresolved"] = tuple(raw["unresolved"])
        raw["senders"] = tuple((str(name), int(attempt)) for name, attempt in raw["senders"])
        raw["commit"] = CommitTarget(**raw["commit"]) if raw["commit"] else None
        return State(**raw)
    except (ValueError, KeyError, TypeError) as error:
        raise OutriggerError("STORED_CORRUPT", "an upload's state object is damaged: abort the upload") from error


async def load(backend: Backend, upload_id: str) -> tuple[State, Version] | None:
    found = await backend.read_private(state_path(upload_id))
    return None if found is None else (decode(found.data), found)


def new_token() -> str:
    return secrets.token_hex(8)


def remember(senders: tuple[tuple[str, int], ...], sender: str, attempt: int) -> tuple[tuple[str, int], ...]:
    """@raise UPLOAD_FENCED for an attempt not above the sender's highest"""
    for name, highest in senders:
        if name == sender and attempt <= highest:
            raise fenced(f"attempt {attempt} of this sender is not above its {highest}")
    others = tuple(one for one in senders if one[0] != sender)
    return (*others, (sender, attempt))[-SENDERS_REMEMBERED:]


async def list_parts(backend: Backend, upload_id: str) -> list[Part]:
    folder = parts_folder(upload_id)
    parts = []
    async for entry in backend.entries(folder, recursive=False):
        match = _PART.fullmatch(entry.path.removeprefix(folder))
        if match is None:
            continue
        token, *numbers = match.groups()
        start, end, written_ms = (int(number, 16) for number in numbers)
        # A service that does not write whole or not at all may have left a part of a part, which nobody was told of.
        if entry.metadata.content_length == end - start or await _size_of(backend, entry.path) == end - start:
            parts.append(Part(entry.path, token, start, end, written_ms))
    return parts


async def _size_of(backend: Backend, path: str) -> int:
    info = await backend.stat(path)
    return -1 if info is None else info.size


def resolved(state: State, parts: Iterable[Part]) -> State:
    """The state with every older token's parts counted: what they hold without a gap."""
    base = list(state.base)
    for token in state.unresolved:
        start = base[-1].end if base else 0
        end = _reach(parts, token, start)
        if end > start:
            base.append(Range(token, start, end))
    return state.changed(base=tuple(base), unresolved=())


def persisted_of(state: State, parts: Iterable[Part]) -> int:
    """As of now, with what the current token has written."""
    whole = resolved(state.changed(unresolved=(*state.unresolved, state.token)), parts)
    return whole.base_end


def cover(state: State, parts: Iterable[Part]) -> list[Part]:
    """The parts that hold the upload's bytes up to base_end, in order. @raise STORED_CORRUPT where one is missing"""
    by_start = {(part.token, part.start): part for part in parts}
    chosen = []
    for one in state.base:
        at = one.start
        while at < one.end:
            part = by_start.get((one.token, at))
            if part is None or part.end > one.end:
                raise OutriggerError("STORED_CORRUPT", f"the upload's bytes from {at} on are missing from the service")
            chosen.append(part)
            at = part.end
    return chosen


def _reach(parts: Iterable[Part], token: str, start: int) -> int:
    ends = {part.start: part.end for part in parts if part.token == token}
    while start in ends:
        start = ends[start]
    return start
