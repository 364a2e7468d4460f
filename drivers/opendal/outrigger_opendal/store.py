"""Opens the store that a service holds: its id, its lock, and what it can promise."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import opendal

from .backend import ALWAYS, PRIVATE, Backend, Lost, Version
from .errors import LOST_CONDITION, SERVICE_ERRORS, OutriggerError, UsageError
from .fs import ATOMIC, FsBackend, assert_case_kept, lock_root
from .listing import any_key
from .logs import fields
from .memory import MemoryBackend
from .services import DURABLE, ServiceOptions, check_options, open_operator

STORE: Final = f"{PRIVATE}store"
_LAYOUT: Final = 1


@dataclass(frozen=True)
class Store:
    backend: Backend
    id: str
    capabilities: tuple[str, ...]
    part_bytes: int
    max_blob_bytes: int
    """0: not limited."""
    notices: tuple[str, ...]


@dataclass(frozen=True)
class StoreOptions:
    service: ServiceOptions
    part_bytes: int
    whole_bytes: int
    """The largest blob where the service cannot write in pieces: it is held in memory."""
    lock_wait_ms: int
    read_only: bool


async def initialise(options: StoreOptions, log: logging.Logger) -> None:
    """Writes the id if it is absent. @raise UsageError"""
    if options.service.service == "memory":
        raise UsageError("--init has nothing to write to: the memory service begins anew with each process")
    backend, _ = await _open_backend(options, log, make=True)
    try:
        if await _read_id(backend) is None:
            await _write_id(backend)
    finally:
        await backend.close()


async def open_store(options: StoreOptions, log: logging.Logger) -> Store:
    """@raise UsageError with one sentence that says what to change"""
    service = options.service.service
    backend, notices = await _open_backend(options, log, make=service == "memory")
    try:
        store_id = await _read_id(backend)
        if store_id is None and service == "memory":
            store_id = str(uuid.uuid4())
        if store_id is None:
            if not await any_key(backend):
                raise UsageError(
                    "the store is empty (perhaps its volume is not mounted, or the bucket or root is another one): "
                    "run the driver once with --init"
                )
            if options.read_only:
                raise UsageError("the store has data but no id, and --read-only may not write one: run --init once")
            store_id = await _write_id(backend)
            log.info("data without an id was adopted", extra=fields(store=store_id))
    except BaseException:
        await backend.close()
        raise
    capabilities = [
        *(["DURABLE"] if service in DURABLE else []),
        *(["REPLICAS"] if backend.shared else []),
    ]
    return Store(
        backend=backend,
        id=store_id,
        capabilities=tuple(capabilities),
        part_bytes=options.part_bytes,
        max_blob_bytes=0 if backend.writes_pieces or service == "memory" else options.whole_bytes,
        notices=tuple(notices),
    )


async def _open_backend(options: StoreOptions, log: logging.Logger, *, make: bool) -> tuple[Backend, list[str]]:
    check_options(options.service)
    service = options.service.service
    if service == "fs":
        return await _open_fs(options, make), []
    operator = open_operator(options.service)
    if service == "memory":
        return MemoryBackend(operator, part_bytes=options.part_bytes), []
    capability = operator.capability()
    for need in ("stat", "read", "write", "delete", "list"):
        if not getattr(capability, need):
            raise UsageError(f"--service {service} cannot be a blob store: it has no {need}")
    lone = Backend(service, operator, shared=False, part_bytes=options.part_bytes)
    await _assert_answers(lone, service)
    if options.read_only:
        return lone, []
    await _assert_etags(lone, service)
    if capability.write_with_if_match and capability.write_with_if_not_exists and capability.read_with_if_match:
        if await _compares(operator):
            return Backend(service, operator, shared=True, part_bytes=options.part_bytes), []
        log.warning("the service says that it compares and sets, and does not")
    notice = (
        f"{service} has no compare-and-set that this driver could use: this process must be the only one that serves "
        "the store, and nothing but you can see to that"
    )
    return lone, [notice]


async def _open_fs(options: StoreOptions, make: bool) -> Backend:
    given = options.service.options
    if "root" not in given:
        raise UsageError("--service fs needs --option root=/a/folder")
    root = Path(os.path.abspath(given["root"]))
    if not make and not root.is_dir():
        raise UsageError(f"the root {root} is not there: mount it, or make it with --init")
    lock: int | None = None
    try:
        if make or not options.read_only:
            # Before anything is written: only a root that is somebody's, or that --init makes.
            if not make and not any(root.iterdir()):
                raise UsageError(f"the root {root} is empty (perhaps it is not mounted): run the driver with --init")
            root.mkdir(parents=True, exist_ok=True)
            lock = await asyncio.to_thread(lock_root, root, options.lock_wait_ms)
            assert_case_kept(root)
        elif not (root / STORE).exists():
            raise UsageError(f"the root {root} has no store id: run the driver once with --init")
        values = {"atomic_write_dir": str(root / ATOMIC), **given, "root": str(root)}
        operator = open_operator(ServiceOptions("fs", values))
        return FsBackend(operator, root, part_bytes=options.part_bytes, lock=lock)
    except OSError as error:
        raise UsageError(f"the root {root} cannot be used: {error.strerror}") from error


async def _assert_answers(backend: Backend, service: str) -> None:
    try:
        await backend.check()
    except OutriggerError as error:
        if error.reason != "KEY_NOT_FOUND":
            raise UsageError(f"--service {service} does not answer: {error.message}") from error


async def _assert_etags(backend: Backend, service: str) -> None:
    path = _probe_path()
    try:
        await backend.write(path, b"etag", ALWAYS, lambda: None)
    except OutriggerError as error:
        raise UsageError(f"--service {service} cannot be written to: {error.message}") from error
    finally:
        await backend.delete(path)


async def _compares(operator: opendal.AsyncOperator) -> bool:
    """Whether the server behind the service does what the service can say: some take the headers and ignore them."""
    path = _probe_path()
    try:
        await operator.write(path, b"1", if_not_exists=True)
        if not await _refused(operator.write(path, b"2", if_not_exists=True)):
            return False
        first = (await operator.stat(path)).etag or ""
        await operator.write(path, b"3", if_match=first)
        if not await _refused(operator.write(path, b"4", if_match=first)):
            return False
        if not await _refused(operator.read(path, if_match=first)):
            return False
        return bool(await operator.read(path) == b"3")
    except SERVICE_ERRORS:
        return False
    finally:
        await operator.delete(path)


async def _refused(write: object) -> bool:
    try:
        await write  # type: ignore[misc]
    except LOST_CONDITION:
        return True
    return False


def _probe_path() -> str:
    return f"{PRIVATE}probe-{secrets.token_hex(8)}"


async def _read_id(backend: Backend) -> str | None:
    stored = await backend.read_private(STORE)
    if stored is None:
        return None
    try:
        told = json.loads(stored.data)
        layout, store_id = told["layout"], str(uuid.UUID(told["id"]))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{STORE} in the store is damaged: restore it from a copy") from error
    if layout != _LAYOUT:
        raise UsageError(f"the store's layout is {layout}, and this driver knows {_LAYOUT}: use a newer driver")
    return store_id


async def _write_id(backend: Backend) -> str:
    store_id = str(uuid.uuid4())
    data = json.dumps({"layout": _LAYOUT, "id": store_id}).encode()
    try:
        written: Version = await backend.swap(STORE, None, data)
    except Lost:
        # Another one was first: theirs it is.
        return await _read_id(backend) or await _write_id(backend)
    return str(json.loads(written.data)["id"])
