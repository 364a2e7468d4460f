from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BlobInfo(_message.Message):
    __slots__ = ("key", "size", "etag", "modified_ms", "digests")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_MS_FIELD_NUMBER: _ClassVar[int]
    DIGESTS_FIELD_NUMBER: _ClassVar[int]
    key: str
    size: int
    etag: str
    modified_ms: int
    digests: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, key: _Optional[str] = ..., size: _Optional[int] = ..., etag: _Optional[str] = ..., modified_ms: _Optional[int] = ..., digests: _Optional[_Iterable[str]] = ...) -> None: ...

class StatRequest(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, keys: _Optional[_Iterable[str]] = ...) -> None: ...

class StatResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[StatResult]
    def __init__(self, results: _Optional[_Iterable[_Union[StatResult, _Mapping]]] = ...) -> None: ...

class StatResult(_message.Message):
    __slots__ = ("key", "info")
    KEY_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    key: str
    info: BlobInfo
    def __init__(self, key: _Optional[str] = ..., info: _Optional[_Union[BlobInfo, _Mapping]] = ...) -> None: ...

class ReadRequest(_message.Message):
    __slots__ = ("key", "offset", "limit", "if_etag")
    KEY_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    IF_ETAG_FIELD_NUMBER: _ClassVar[int]
    key: str
    offset: int
    limit: int
    if_etag: str
    def __init__(self, key: _Optional[str] = ..., offset: _Optional[int] = ..., limit: _Optional[int] = ..., if_etag: _Optional[str] = ...) -> None: ...

class ReadResponse(_message.Message):
    __slots__ = ("start", "chunk")
    START_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    start: ReadStart
    chunk: ReadChunk
    def __init__(self, start: _Optional[_Union[ReadStart, _Mapping]] = ..., chunk: _Optional[_Union[ReadChunk, _Mapping]] = ...) -> None: ...

class ReadStart(_message.Message):
    __slots__ = ("info", "start", "length")
    INFO_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    info: BlobInfo
    start: int
    length: int
    def __init__(self, info: _Optional[_Union[BlobInfo, _Mapping]] = ..., start: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...

class ReadChunk(_message.Message):
    __slots__ = ("offset", "data")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    offset: int
    data: bytes
    def __init__(self, offset: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class PutRequest(_message.Message):
    __slots__ = ("key", "data", "digest", "if_absent", "if_etag")
    KEY_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    IF_ABSENT_FIELD_NUMBER: _ClassVar[int]
    IF_ETAG_FIELD_NUMBER: _ClassVar[int]
    key: str
    data: bytes
    digest: str
    if_absent: bool
    if_etag: str
    def __init__(self, key: _Optional[str] = ..., data: _Optional[bytes] = ..., digest: _Optional[str] = ..., if_absent: _Optional[bool] = ..., if_etag: _Optional[str] = ...) -> None: ...

class PutResponse(_message.Message):
    __slots__ = ("info",)
    INFO_FIELD_NUMBER: _ClassVar[int]
    info: BlobInfo
    def __init__(self, info: _Optional[_Union[BlobInfo, _Mapping]] = ...) -> None: ...

class AppendRequest(_message.Message):
    __slots__ = ("open", "chunk", "flush", "commit")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    FLUSH_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    open: Open
    chunk: Chunk
    flush: Flush
    commit: Commit
    def __init__(self, open: _Optional[_Union[Open, _Mapping]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ..., flush: _Optional[_Union[Flush, _Mapping]] = ..., commit: _Optional[_Union[Commit, _Mapping]] = ...) -> None: ...

class Open(_message.Message):
    __slots__ = ("upload_id", "sender", "attempt", "create", "algorithm", "key", "size", "not_after_ms")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CREATE_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    sender: str
    attempt: int
    create: bool
    algorithm: str
    key: str
    size: int
    not_after_ms: int
    def __init__(self, upload_id: _Optional[str] = ..., sender: _Optional[str] = ..., attempt: _Optional[int] = ..., create: _Optional[bool] = ..., algorithm: _Optional[str] = ..., key: _Optional[str] = ..., size: _Optional[int] = ..., not_after_ms: _Optional[int] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("offset", "data")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    offset: int
    data: bytes
    def __init__(self, offset: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class Flush(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Commit(_message.Message):
    __slots__ = ("key", "size", "digest", "if_absent", "not_after_ms")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    IF_ABSENT_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    key: str
    size: int
    digest: str
    if_absent: bool
    not_after_ms: int
    def __init__(self, key: _Optional[str] = ..., size: _Optional[int] = ..., digest: _Optional[str] = ..., if_absent: _Optional[bool] = ..., not_after_ms: _Optional[int] = ...) -> None: ...

class AppendResponse(_message.Message):
    __slots__ = ("opened", "progress", "committed")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    opened: Opened
    progress: Progress
    committed: Committed
    def __init__(self, opened: _Optional[_Union[Opened, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., committed: _Optional[_Union[Committed, _Mapping]] = ...) -> None: ...

class Opened(_message.Message):
    __slots__ = ("persisted", "fence")
    PERSISTED_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    persisted: int
    fence: int
    def __init__(self, persisted: _Optional[int] = ..., fence: _Optional[int] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("received", "persisted")
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    PERSISTED_FIELD_NUMBER: _ClassVar[int]
    received: int
    persisted: int
    def __init__(self, received: _Optional[int] = ..., persisted: _Optional[int] = ...) -> None: ...

class Committed(_message.Message):
    __slots__ = ("info", "digest")
    INFO_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    info: BlobInfo
    digest: str
    def __init__(self, info: _Optional[_Union[BlobInfo, _Mapping]] = ..., digest: _Optional[str] = ...) -> None: ...

class UploadInfo(_message.Message):
    __slots__ = ("upload_id", "persisted", "idle_ms")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    PERSISTED_FIELD_NUMBER: _ClassVar[int]
    IDLE_MS_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    persisted: int
    idle_ms: int
    def __init__(self, upload_id: _Optional[str] = ..., persisted: _Optional[int] = ..., idle_ms: _Optional[int] = ...) -> None: ...

class GetUploadRequest(_message.Message):
    __slots__ = ("upload_id",)
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    def __init__(self, upload_id: _Optional[str] = ...) -> None: ...

class GetUploadResponse(_message.Message):
    __slots__ = ("upload",)
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    upload: UploadInfo
    def __init__(self, upload: _Optional[_Union[UploadInfo, _Mapping]] = ...) -> None: ...

class ListUploadsRequest(_message.Message):
    __slots__ = ("start_after", "limit")
    START_AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    start_after: str
    limit: int
    def __init__(self, start_after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListUploadsResponse(_message.Message):
    __slots__ = ("uploads", "more")
    UPLOADS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    uploads: _containers.RepeatedCompositeFieldContainer[UploadInfo]
    more: bool
    def __init__(self, uploads: _Optional[_Iterable[_Union[UploadInfo, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class AbortUploadRequest(_message.Message):
    __slots__ = ("upload_id", "if_idle_ms")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    IF_IDLE_MS_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    if_idle_ms: int
    def __init__(self, upload_id: _Optional[str] = ..., if_idle_ms: _Optional[int] = ...) -> None: ...

class AbortUploadResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MoveRequest(_message.Message):
    __slots__ = ("source", "destination")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    source: str
    destination: str
    def __init__(self, source: _Optional[str] = ..., destination: _Optional[str] = ...) -> None: ...

class MoveResponse(_message.Message):
    __slots__ = ("working", "info")
    WORKING_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    working: Working
    info: BlobInfo
    def __init__(self, working: _Optional[_Union[Working, _Mapping]] = ..., info: _Optional[_Union[BlobInfo, _Mapping]] = ...) -> None: ...

class Working(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, keys: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[DeleteResult]
    def __init__(self, results: _Optional[_Iterable[_Union[DeleteResult, _Mapping]]] = ...) -> None: ...

class DeleteResult(_message.Message):
    __slots__ = ("key", "reason", "message")
    KEY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    key: str
    reason: str
    message: str
    def __init__(self, key: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("prefix", "start_after", "limit")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    START_AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    start_after: str
    limit: int
    def __init__(self, prefix: _Optional[str] = ..., start_after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListResponse(_message.Message):
    __slots__ = ("items", "more")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[BlobInfo]
    more: bool
    def __init__(self, items: _Optional[_Iterable[_Union[BlobInfo, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class CountRequest(_message.Message):
    __slots__ = ("prefix",)
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    def __init__(self, prefix: _Optional[str] = ...) -> None: ...

class CountResponse(_message.Message):
    __slots__ = ("count", "exact")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    count: int
    exact: bool
    def __init__(self, count: _Optional[int] = ..., exact: _Optional[bool] = ...) -> None: ...

class SignUrlRequest(_message.Message):
    __slots__ = ("key", "ttl_ms")
    KEY_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    key: str
    ttl_ms: int
    def __init__(self, key: _Optional[str] = ..., ttl_ms: _Optional[int] = ...) -> None: ...

class SignUrlResponse(_message.Message):
    __slots__ = ("url", "expires_ms")
    URL_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_MS_FIELD_NUMBER: _ClassVar[int]
    url: str
    expires_ms: int
    def __init__(self, url: _Optional[str] = ..., expires_ms: _Optional[int] = ...) -> None: ...

class LocateFileRequest(_message.Message):
    __slots__ = ("key", "nonce")
    KEY_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    key: str
    nonce: str
    def __init__(self, key: _Optional[str] = ..., nonce: _Optional[str] = ...) -> None: ...

class LocateFileResponse(_message.Message):
    __slots__ = ("path", "size", "etag")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    path: str
    size: int
    etag: str
    def __init__(self, path: _Optional[str] = ..., size: _Optional[int] = ..., etag: _Optional[str] = ...) -> None: ...
