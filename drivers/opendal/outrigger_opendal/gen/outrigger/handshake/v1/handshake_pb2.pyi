from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StoreKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STORE_KIND_UNSPECIFIED: _ClassVar[StoreKind]
    STORE_KIND_BLOB: _ClassVar[StoreKind]
    STORE_KIND_META: _ClassVar[StoreKind]
STORE_KIND_UNSPECIFIED: StoreKind
STORE_KIND_BLOB: StoreKind
STORE_KIND_META: StoreKind

class VersionRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class VersionResponse(_message.Message):
    __slots__ = ("api",)
    class ApiEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ApiVersions
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ApiVersions, _Mapping]] = ...) -> None: ...
    API_FIELD_NUMBER: _ClassVar[int]
    api: _containers.MessageMap[str, ApiVersions]
    def __init__(self, api: _Optional[_Mapping[str, ApiVersions]] = ...) -> None: ...

class ApiVersions(_message.Message):
    __slots__ = ("versions",)
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[ApiVersion]
    def __init__(self, versions: _Optional[_Iterable[_Union[ApiVersion, _Mapping]]] = ...) -> None: ...

class ApiVersion(_message.Message):
    __slots__ = ("major", "minor")
    MAJOR_FIELD_NUMBER: _ClassVar[int]
    MINOR_FIELD_NUMBER: _ClassVar[int]
    major: int
    minor: int
    def __init__(self, major: _Optional[int] = ..., minor: _Optional[int] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ("core_name", "core_version", "apis")
    class ApisEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ApiVersion
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ApiVersion, _Mapping]] = ...) -> None: ...
    CORE_NAME_FIELD_NUMBER: _ClassVar[int]
    CORE_VERSION_FIELD_NUMBER: _ClassVar[int]
    APIS_FIELD_NUMBER: _ClassVar[int]
    core_name: str
    core_version: str
    apis: _containers.MessageMap[str, ApiVersion]
    def __init__(self, core_name: _Optional[str] = ..., core_version: _Optional[str] = ..., apis: _Optional[_Mapping[str, ApiVersion]] = ...) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("driver", "version", "apis", "stores", "notices")
    class ApisEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ApiVersions
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ApiVersions, _Mapping]] = ...) -> None: ...
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    APIS_FIELD_NUMBER: _ClassVar[int]
    STORES_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    driver: str
    version: str
    apis: _containers.MessageMap[str, ApiVersions]
    stores: _containers.RepeatedCompositeFieldContainer[Store]
    notices: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, driver: _Optional[str] = ..., version: _Optional[str] = ..., apis: _Optional[_Mapping[str, ApiVersions]] = ..., stores: _Optional[_Iterable[_Union[Store, _Mapping]]] = ..., notices: _Optional[_Iterable[str]] = ...) -> None: ...

class Store(_message.Message):
    __slots__ = ("kind", "id", "capabilities", "limits", "outside")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    OUTSIDE_FIELD_NUMBER: _ClassVar[int]
    kind: StoreKind
    id: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    limits: Limits
    outside: int
    def __init__(self, kind: _Optional[_Union[StoreKind, str]] = ..., id: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., outside: _Optional[int] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("persist_step_bytes", "upload_ttl_ms", "max_blob_bytes", "list_lag_ms", "max_value_bytes", "stream_idle_ms")
    PERSIST_STEP_BYTES_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_TTL_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_BLOB_BYTES_FIELD_NUMBER: _ClassVar[int]
    LIST_LAG_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_VALUE_BYTES_FIELD_NUMBER: _ClassVar[int]
    STREAM_IDLE_MS_FIELD_NUMBER: _ClassVar[int]
    persist_step_bytes: int
    upload_ttl_ms: int
    max_blob_bytes: int
    list_lag_ms: int
    max_value_bytes: int
    stream_idle_ms: int
    def __init__(self, persist_step_bytes: _Optional[int] = ..., upload_ttl_ms: _Optional[int] = ..., max_blob_bytes: _Optional[int] = ..., list_lag_ms: _Optional[int] = ..., max_value_bytes: _Optional[int] = ..., stream_idle_ms: _Optional[int] = ...) -> None: ...
