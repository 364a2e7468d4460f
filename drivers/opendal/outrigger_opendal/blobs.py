"""BlobService: fields checked, then the store."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Iterable
from typing import TypeAlias

import grpc

from . import listing
from .backend import Backend, Condition, Info
from .calls import Call, Calls
from .errors import OutriggerError, invalid_field, of_service
from .gen.outrigger.blob.v1 import blob_pb2, blob_pb2_grpc
from .keys import (
    check_bound,
    check_digest,
    check_etag,
    check_integer,
    check_key,
    check_keys,
    page_limit,
)
from .limits import AT_ONCE, DELETE_KEYS, PROGRESS_EVERY_S, PUT_BYTES, SENT_CHUNK_BYTES, STAT_KEYS
from .stream_ends import Inbox
from .uploads import UploadFacts, Uploads

Context: TypeAlias = grpc.aio.ServicerContext

_LOOKS = 50
"""How often a read begins anew because its key changes under it."""


class BlobService(blob_pb2_grpc.BlobServiceServicer):
    def __init__(self, backend: Backend, uploads: Uploads, calls: Calls) -> None:
        self._backend = backend
        self._uploads = uploads
        self._calls = calls

    async def Stat(self, request: blob_pb2.StatRequest, context: Context) -> blob_pb2.StatResponse:
        async def run(_: Call) -> blob_pb2.StatResponse:
            keys = check_keys(request.keys, STAT_KEYS)
            gate = asyncio.Semaphore(AT_ONCE)

            async def one(key: str) -> blob_pb2.StatResult:
                async with gate:
                    info = await self._backend.stat(key)
                return blob_pb2.StatResult(key=key, info=None if info is None else _message(key, info))

            return blob_pb2.StatResponse(results=await asyncio.gather(*map(one, keys)))

        return await self._calls.unary("blob.Stat", context, run)

    async def Read(self, request: blob_pb2.ReadRequest, context: Context) -> None:
        async def run(_: Call) -> None:
            await self._read(request, context)

        await self._calls.stream("blob.Read", context, run)

    async def _read(self, request: blob_pb2.ReadRequest, context: Context) -> None:
        key = check_key(request.key)
        offset = check_integer("offset", request.offset)
        limit = check_integer("limit", request.limit) if request.HasField("limit") else None
        if_etag = check_etag("if_etag", request.if_etag)
        info, length, pieces, piece = await self._begin_read(key, offset, limit, if_etag)
        async with contextlib.aclosing(pieces):
            start = blob_pb2.ReadStart(info=_message(key, info), start=offset, length=length)
            await context.write(blob_pb2.ReadResponse(start=start))
            while piece is not None:
                for at in range(0, len(piece), SENT_CHUNK_BYTES):
                    data = piece[at : at + SENT_CHUNK_BYTES]
                    await context.write(blob_pb2.ReadResponse(chunk=blob_pb2.ReadChunk(offset=offset, data=data)))
                    offset += len(data)
                piece = await anext(pieces, None)

    async def _begin_read(
        self, key: str, offset: int, limit: int | None, if_etag: str | None
    ) -> tuple[Info, int, AsyncGenerator[bytes, None], bytes | None]:
        """The content, how many of its bytes are wanted, the bytes, and the first piece of them."""
        for look in range(1, _LOOKS + 1):
            info = await self._backend.stat(key)
            if info is None:
                raise OutriggerError("KEY_NOT_FOUND", f"there is no key {key}")
            if if_etag is not None and info.etag != if_etag:
                raise OutriggerError("ETAG_MISMATCH", f"key {key} has another etag")
            if offset > info.size:
                raise OutriggerError(
                    "OFFSET_MISMATCH",
                    f"offset {offset} is beyond the blob's {info.size} bytes",
                    {"persisted": str(info.size)},
                )
            length = info.size - offset if limit is None else min(limit, info.size - offset)
            pieces = self._backend.pieces(key, offset, length, info.etag)
            try:
                return info, length, pieces, await anext(pieces, None)
            except OutriggerError as error:
                await pieces.aclose()
                # Overwritten or deleted since: nothing was sent yet, so what is there now is the answer.
                if error.reason not in ("ETAG_MISMATCH", "KEY_NOT_FOUND") or look == _LOOKS:
                    raise
        raise AssertionError("unreachable")

    async def Put(self, request: blob_pb2.PutRequest, context: Context) -> blob_pb2.PutResponse:
        async def run(call: Call) -> blob_pb2.PutResponse:
            key = check_key(request.key)
            if_etag = check_etag("if_etag", request.if_etag)
            if request.if_absent and if_etag is not None:
                raise invalid_field("if_etag", "cannot be together with if_absent")
            if len(request.data) > PUT_BYTES:
                raise invalid_field("data", f"{len(request.data)} bytes are more than {PUT_BYTES}")
            _check_content(request.data, check_digest(request.digest))
            condition = Condition(if_absent=request.if_absent, if_etag=if_etag)
            info = await self._backend.write(key, request.data, condition, call.assert_in_time)
            return blob_pb2.PutResponse(info=_message(key, info))

        return await self._calls.unary("blob.Put", context, run, mutating=True)

    async def Append(self, _: object, context: Context) -> None:
        inbox = Inbox(context)

        async def run(_: Call) -> None:
            await self._uploads.append(context, inbox)

        try:
            await self._calls.stream("blob.Append", context, run, mutating=True)
        except asyncio.CancelledError:
            # What was received is persisted, and the turn given up, beside the call that is no more.
            inbox.stop(OutriggerError("DRAINING", "the caller has gone"))
            raise

    async def GetUpload(self, request: blob_pb2.GetUploadRequest, context: Context) -> blob_pb2.GetUploadResponse:
        async def run(_: Call) -> blob_pb2.GetUploadResponse:
            return blob_pb2.GetUploadResponse(upload=_upload_message(await self._uploads.get(request.upload_id)))

        return await self._calls.unary("blob.GetUpload", context, run)

    async def ListUploads(self, request: blob_pb2.ListUploadsRequest, context: Context) -> blob_pb2.ListUploadsResponse:
        async def run(_: Call) -> blob_pb2.ListUploadsResponse:
            start_after = check_bound("start_after", request.start_after)
            found, more = await self._uploads.page(start_after, page_limit(request.limit))
            return blob_pb2.ListUploadsResponse(uploads=map(_upload_message, found), more=more)

        return await self._calls.unary("blob.ListUploads", context, run)

    async def AbortUpload(self, request: blob_pb2.AbortUploadRequest, context: Context) -> blob_pb2.AbortUploadResponse:
        async def run(call: Call) -> blob_pb2.AbortUploadResponse:
            idle = check_integer("if_idle_ms", request.if_idle_ms) if request.HasField("if_idle_ms") else None
            await self._uploads.abort(request.upload_id, idle, call.not_after_ms)
            return blob_pb2.AbortUploadResponse()

        return await self._calls.unary("blob.AbortUpload", context, run, mutating=True)

    async def Move(self, request: blob_pb2.MoveRequest, context: Context) -> None:
        async def run(call: Call) -> None:
            source, destination = check_key(request.source), check_key(request.destination)
            moving = asyncio.create_task(self._move(source, destination, call))
            while not (await asyncio.wait({moving}, timeout=PROGRESS_EVERY_S))[0]:
                await context.write(blob_pb2.MoveResponse(working=blob_pb2.Working()))
            await context.write(blob_pb2.MoveResponse(info=_message(destination, await moving)))

        await self._calls.stream("blob.Move", context, run, mutating=True)

    async def _move(self, source: str, destination: str, call: Call) -> Info:
        if source != destination:
            return await self._backend.move(source, destination, call.assert_in_time)
        info = await self._backend.stat(source)
        if info is None:
            raise OutriggerError("KEY_NOT_FOUND", f"there is no key {source}")
        return info

    async def Delete(self, request: blob_pb2.DeleteRequest, context: Context) -> blob_pb2.DeleteResponse:
        async def run(call: Call) -> blob_pb2.DeleteResponse:
            keys = check_keys(request.keys, DELETE_KEYS)
            gate = asyncio.Semaphore(AT_ONCE)

            async def one(key: str) -> blob_pb2.DeleteResult:
                async with gate:
                    try:
                        await self._backend.delete(key, call.assert_in_time)
                    except Exception as error:
                        failure = of_service(error, "delete")
                        return blob_pb2.DeleteResult(key=key, reason=failure.reason, message=failure.message[:200])
                return blob_pb2.DeleteResult(key=key)

            return blob_pb2.DeleteResponse(results=await asyncio.gather(*map(one, keys)))

        return await self._calls.unary("blob.Delete", context, run, mutating=True)

    async def List(self, request: blob_pb2.ListRequest, context: Context) -> blob_pb2.ListResponse:
        async def run(_: Call) -> blob_pb2.ListResponse:
            prefix = check_bound("prefix", request.prefix)
            start_after = check_bound("start_after", request.start_after)
            page = await listing.page(self._backend, prefix, start_after, page_limit(request.limit))
            return blob_pb2.ListResponse(items=_items(page.items), more=page.more)

        return await self._calls.unary("blob.List", context, run)

    async def Count(self, request: blob_pb2.CountRequest, context: Context) -> blob_pb2.CountResponse:
        async def run(_: Call) -> blob_pb2.CountResponse:
            prefix = check_bound("prefix", request.prefix)
            return blob_pb2.CountResponse(count=await listing.count(self._backend, prefix), exact=True)

        return await self._calls.unary("blob.Count", context, run)

    async def SignUrl(self, request: blob_pb2.SignUrlRequest, context: Context) -> blob_pb2.SignUrlResponse:
        async def run(_: Call) -> blob_pb2.SignUrlResponse:
            raise OutriggerError("CAPABILITY_MISSING", "this store does not have SIGN_URL")

        return await self._calls.unary("blob.SignUrl", context, run)

    async def LocateFile(self, request: blob_pb2.LocateFileRequest, context: Context) -> blob_pb2.LocateFileResponse:
        async def run(_: Call) -> blob_pb2.LocateFileResponse:
            raise OutriggerError("CAPABILITY_MISSING", "this store does not have LOCAL_FILE")

        return await self._calls.unary("blob.LocateFile", context, run)


def _check_content(data: bytes, digest: str | None) -> None:
    """[blob.put.02]"""
    if digest is None:
        return
    algorithm = digest.split(":")[0]
    found = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
    if found != digest:
        raise OutriggerError("DIGEST_MISMATCH", f"the data has digest {found}, not {digest}", {"digest": found})


def _message(key: str, info: Info) -> blob_pb2.BlobInfo:
    return blob_pb2.BlobInfo(key=key, size=info.size, etag=info.etag, modified_ms=info.modified_ms)


def _items(items: Iterable[listing.Item]) -> Iterable[blob_pb2.BlobInfo]:
    return (_message(item.key, item.info) for item in items)


def _upload_message(facts: UploadFacts) -> blob_pb2.UploadInfo:
    return blob_pb2.UploadInfo(upload_id=facts.upload_id, persisted=facts.persisted, idle_ms=facts.idle_ms)
