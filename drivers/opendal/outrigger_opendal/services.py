"""What is known of OpenDAL's services: their options, and which guarantees each of them gives."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import opendal
from opendal import config
from opendal.layers import RetryLayer, TimeoutLayer

from .errors import SERVICE_ERRORS, UsageError, first_line

DURABLE: Final = frozenset({"fs", "s3", "gcs", "azblob", "oss", "obs", "cos", "tos", "b2", "swift"})
"""What these acknowledge survives power loss: by their makers' word, and on `fs` because this driver syncs."""

BYTEWISE: Final = frozenset({"memory", "s3", "gcs", "azblob", "oss", "obs", "cos", "tos", "b2", "swift"})
"""These list recursively in the keys' bytewise order."""

REFUSED: Final = frozenset(
    {"ftp", "webhdfs", "hdfs-native", "ipfs", "ipmfs", "http", "dropbox", "aliyun-drive", "upyun"}
)
"""They give no etags: named before anything is written. Any other without them is found by a probe."""

COPY_MOST_BYTES: Final = 5 * 1024**3
"""The largest object that S3 and those like it copy in one call."""


@dataclass(frozen=True)
class ServiceOptions:
    service: str
    options: Mapping[str, str]
    """OpenDAL's own names. Some are secrets: never logged, never shown."""


def known_options(service: str) -> frozenset[str] | None:
    """The names OpenDAL takes for a service; None where it does not say."""
    for name in dir(config):
        shape = getattr(config, name)
        hints = getattr(shape, "__annotations__", None)
        if name.endswith("Config") and isinstance(hints, dict) and _scheme_of(hints.get("scheme")) == service:
            return frozenset(hints) - {"scheme"}
    return None


def _scheme_of(hint: object) -> str | None:
    """ "s3" of `Required[Literal["s3"]]`, whether written out or as text."""
    parts = str(getattr(hint, "__forward_arg__", hint)).replace("'", '"').split('"')
    return parts[1] if len(parts) > 2 else None


def check_options(chosen: ServiceOptions) -> None:
    """@raise UsageError"""
    if chosen.service in REFUSED:
        raise UsageError(
            f"--service {chosen.service} cannot be a blob store: it gives no etags, so two contents of one key "
            "cannot be told apart"
        )
    known = known_options(chosen.service)
    if known is None:
        return
    for name in chosen.options:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f": did you mean {near[0]}?" if near else f"; it has {', '.join(sorted(known))}"
            raise UsageError(f"--option {name} is none of the service {chosen.service}{hint}")


def open_operator(chosen: ServiceOptions) -> opendal.AsyncOperator:
    """An operator whose calls end: each step has its time. @raise UsageError"""
    try:
        operator = opendal.AsyncOperator(chosen.service, **dict(chosen.options))
    except SERVICE_ERRORS as error:
        raise UsageError(f"--service {chosen.service} cannot be used: {_without_values(error, chosen)}") from None
    return operator.layer(TimeoutLayer(timeout=10, io_timeout=20))


def retrying(operator: opendal.AsyncOperator) -> opendal.AsyncOperator:
    """For calls whose repetition changes nothing: reads, deletes, writes without a condition."""
    return operator.layer(RetryLayer(max_times=3, factor=2.0, jitter=True, min_delay=0.1, max_delay=1.0))


def _without_values(error: BaseException, chosen: ServiceOptions) -> str:
    text = first_line(error)
    for value in chosen.options.values():
        if len(value) > 3:
            text = text.replace(value, "…")
    return text
