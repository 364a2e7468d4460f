"""Errors that cross the wire: a reason, the gRPC code that goes with it, and a sentence [call.error.01]."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from typing import Final, NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from opendal import exceptions as service

_CODE = grpc.StatusCode

CODES: Final[Mapping[str, grpc.StatusCode]] = {
    "KEY_NOT_FOUND": _CODE.NOT_FOUND,
    "UPLOAD_NOT_FOUND": _CODE.NOT_FOUND,
    "INVALID_KEY": _CODE.INVALID_ARGUMENT,
    "INVALID_FIELD": _CODE.INVALID_ARGUMENT,
    "OFFSET_REQUIRED": _CODE.INVALID_ARGUMENT,
    "KEY_CONFLICT": _CODE.FAILED_PRECONDITION,
    "UPLOAD_BUSY": _CODE.FAILED_PRECONDITION,
    "DIGEST_MISMATCH": _CODE.FAILED_PRECONDITION,
    "SIZE_MISMATCH": _CODE.FAILED_PRECONDITION,
    "WRONG_STORE": _CODE.FAILED_PRECONDITION,
    "READ_ONLY": _CODE.FAILED_PRECONDITION,
    "NOT_INITIALISED": _CODE.FAILED_PRECONDITION,
    "OFFSET_MISMATCH": _CODE.OUT_OF_RANGE,
    "UPLOAD_FENCED": _CODE.ABORTED,
    "ETAG_MISMATCH": _CODE.ABORTED,
    "KEY_EXISTS": _CODE.ALREADY_EXISTS,
    "TOO_LATE": _CODE.DEADLINE_EXCEEDED,
    "STREAM_IDLE": _CODE.DEADLINE_EXCEEDED,
    "STORED_CORRUPT": _CODE.DATA_LOSS,
    "QUOTA": _CODE.RESOURCE_EXHAUSTED,
    "THROTTLED": _CODE.RESOURCE_EXHAUSTED,
    "DRAINING": _CODE.UNAVAILABLE,
    "BACKEND_DOWN": _CODE.UNAVAILABLE,
    "CAPABILITY_MISSING": _CODE.UNIMPLEMENTED,
    "NOT_ALLOWED": _CODE.PERMISSION_DENIED,
    "INTERNAL": _CODE.INTERNAL,
}

SERVICE_ERRORS: Final = (
    service.Error,
    service.Unexpected,
    service.Unsupported,
    service.ConfigInvalid,
    service.NotFound,
    service.PermissionDenied,
    service.IsADirectory,
    service.NotADirectory,
    service.AlreadyExists,
    service.IsSameFile,
    service.ConditionNotMatch,
    service.RateLimited,
    service.RangeNotSatisfied,
    service.Conflict,
)
"""OpenDAL's exceptions have no base of their own."""

LOST_CONDITION: Final = (service.ConditionNotMatch, service.AlreadyExists)
"""What a conditional write raises when its condition does not hold."""

_PREFIX_CONFLICT = re.compile(
    r"ObjectParentIsFile|ExistingObjectIsDirectory|is a directory|not a directory|File exists", re.IGNORECASE
)
_FULL = re.compile(r"No space left|quota|InsufficientStorage|EntityTooLarge", re.IGNORECASE)


class UsageError(Exception):
    """A sentence that says what to change; shown without a stack."""


class OutriggerError(Exception):
    """`reason` is what programs decide by; the message says what was wrong and what would be right."""

    def __init__(
        self,
        reason: str,
        message: str,
        metadata: Mapping[str, str] | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.retry_after_ms = retry_after_ms

    @property
    def code(self) -> grpc.StatusCode:
        return CODES[self.reason]

    def details(self) -> bytes:
        """google.rpc.Status with ErrorInfo, as `grpc-status-details-bin` carries it."""
        info = any_pb2.Any()
        info.Pack(error_details_pb2.ErrorInfo(reason=self.reason, domain="outrigger", metadata=self.metadata))
        details = [info]
        if self.retry_after_ms is not None:
            delay = duration_pb2.Duration()
            delay.FromMilliseconds(self.retry_after_ms)
            retry = any_pb2.Any()
            retry.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
            details.append(retry)
        status = status_pb2.Status(code=self.code.value[0], message=self.message, details=details)
        return bytes(status.SerializeToString())


def invalid_field(field: str, why: str) -> OutriggerError:
    return OutriggerError("INVALID_FIELD", f"{field}: {why}", {"field": field})


def fenced(why: str = "a newer stream has taken this upload over") -> OutriggerError:
    return OutriggerError("UPLOAD_FENCED", why)


def first_line(error: BaseException) -> str:
    """OpenDAL's errors hold a context of many lines."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def of_service(error: BaseException, what: str) -> OutriggerError:
    """What an error of the service, of the disk or of this program becomes on the wire."""
    if isinstance(error, OutriggerError):
        return error
    text = str(error)
    if isinstance(error, (service.IsADirectory, service.NotADirectory, IsADirectoryError, NotADirectoryError)):
        return key_conflict()
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutriggerError("QUOTA", f"{what}: the backend is full")
    if isinstance(error, (*SERVICE_ERRORS, OSError)):
        if _PREFIX_CONFLICT.search(text):
            return key_conflict()
        if _FULL.search(text):
            return OutriggerError("QUOTA", f"{what}: the service is full: {first_line(error)}")
        if isinstance(error, service.RateLimited):
            return OutriggerError("THROTTLED", f"{what}: the service asks for a slower pace", retry_after_ms=1000)
        if isinstance(error, service.NotFound):
            return OutriggerError("KEY_NOT_FOUND", f"{what}: {first_line(error)}")
        if isinstance(error, service.ConditionNotMatch):
            return OutriggerError("ETAG_MISMATCH", f"{what}: the content is another now")
        if isinstance(error, service.PermissionDenied):
            return OutriggerError("BACKEND_DOWN", f"{what}: the service refuses these credentials")
        if "(temporary)" in text or "(persistent)" in text or isinstance(error, OSError):
            return OutriggerError("BACKEND_DOWN", f"{what}: {first_line(error)}")
        return OutriggerError("INTERNAL", f"{what}: the service refuses: {first_line(error)}")
    return OutriggerError("INTERNAL", f"{what}: the driver met a fault of its own; its log has the cause")


def raise_of_service(error: BaseException, what: str) -> NoReturn:
    raise of_service(error, what) from error


def key_conflict() -> OutriggerError:
    return OutriggerError("KEY_CONFLICT", "the key is a path-prefix of another one, or the other way round")
