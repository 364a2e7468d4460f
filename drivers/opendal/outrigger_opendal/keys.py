"""Keys, upload ids, digests and listing bounds, checked before any effect. All raise INVALID_KEY or INVALID_FIELD."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from .errors import OutriggerError, invalid_field
from .limits import BOUND_BYTES, LIST_ITEMS

_COMPONENT = re.compile(r"[A-Za-z0-9._-]{1,255}")
_UPLOAD_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._/-]")
_KEY_BYTES = 1024


def is_key(key: str) -> bool:
    return len(key) <= _KEY_BYTES and all(
        _COMPONENT.fullmatch(part) is not None and part not in (".", "..") for part in key.split("/")
    )


def check_key(key: str) -> str:
    if not is_key(key):
        raise OutriggerError(
            "INVALID_KEY",
            f"key {_quote(key)} is not a list of [A-Za-z0-9._-]{{1,255}} components joined by single slashes, none of "
            'them "." or "..", 1 to 1024 bytes in all',
        )
    return key


def check_keys(keys: Sequence[str], most: int) -> Sequence[str]:
    if len(keys) > most:
        raise invalid_field("keys", f"{len(keys)} keys are more than {most}")
    for key in keys:
        check_key(key)
    return keys


def check_upload_id(upload_id: str) -> str:
    if _UPLOAD_ID.fullmatch(upload_id) is None:
        raise invalid_field("upload_id", f"{_quote(upload_id)} is not [A-Za-z0-9-]{{1,64}}")
    return upload_id


def check_digest(digest: str) -> str | None:
    """ "" is "not given"."""
    if digest == "":
        return None
    if _DIGEST.fullmatch(digest) is None:
        raise invalid_field("digest", f"{_quote(digest)} is neither sha256:<64 hex> nor sha512:<128 hex>")
    return digest


def check_etag(field: str, etag: str) -> str | None:
    """ "" is "not given"."""
    if len(etag) > 128 or not etag.isascii():
        raise invalid_field(field, "an etag has at most 128 ASCII characters")
    return etag or None


def check_bound(field: str, text: str) -> str:
    if len(text) > BOUND_BYTES or not text.isascii():
        raise invalid_field(field, f"{_quote(text)} is not ASCII of at most {BOUND_BYTES} bytes")
    return text


def page_limit(limit: int) -> int:
    if limit > LIST_ITEMS:
        raise invalid_field("limit", f"{limit} is more than {LIST_ITEMS}")
    return limit or LIST_ITEMS


def check_integer(field: str, value: int) -> int:
    if not 0 <= value <= 2**53 - 1:
        raise invalid_field(field, f"{value} is not an integer from 0 to 2^53-1")
    return value


def can_begin_keys(prefix: str) -> bool:
    """Whether any key can begin with it; a listing of any other prefix is empty, and never shown to the service."""
    *whole, last = prefix.split("/")
    return (
        len(prefix) <= _KEY_BYTES
        and _UNSAFE.search(prefix) is None
        and len(last) <= 255
        and (not whole or is_key("/".join(whole)))
    )


def safe_bound(start_after: str) -> str:
    """The longest beginning that holds only bytes of keys: listing after it skips nothing that is wanted."""
    match = _UNSAFE.search(start_after)
    return start_after if match is None else start_after[: match.start()]


def _quote(text: str) -> str:
    return json.dumps(text if len(text) <= 100 else f"{text[:100]}…", ensure_ascii=False)
