"""Times as the protocol tells them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def micros_of(moment: datetime | None) -> int:
    """Unix microseconds; 0 where the service does not tell."""
    return 0 if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)
