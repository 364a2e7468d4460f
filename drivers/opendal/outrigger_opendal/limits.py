"""The protocol's numbers (docs/reference/limits.md), and this driver's own."""

from __future__ import annotations

from typing import Final

MIB: Final = 1024 * 1024

MESSAGE_BYTES: Final = 4 * MIB
CHUNK_BYTES: Final = MIB
PUT_BYTES: Final = MIB
LIST_ITEMS: Final = 1000
STAT_KEYS: Final = 1000
DELETE_KEYS: Final = 1000
BOUND_BYTES: Final = 2048
"""prefix and start_after of a listing."""
STREAM_IDLE_S: Final = 60.0
PROGRESS_EVERY_S: Final = 4.0
"""The protocol asks for 5: what is sent at the last moment arrives too late."""
UPLOAD_TTL_LEAST_MS: Final = 24 * 3600 * 1000

SENT_CHUNK_BYTES: Final = 512 * 1024
"""What Read sends at once."""
PIECE_BYTES: Final = 2 * MIB
"""What is asked of the service at once; one more is fetched ahead."""
AT_ONCE: Final = 16
"""Calls to the service under way for one request."""
SENDERS_REMEMBERED: Final = 64
"""A core makes one sender a request; older ones than this many have long ended."""
