"""JSON lines on stderr, named as the other drivers name them."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback

LEVELS = {
    "trace": 5,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "silent": logging.CRITICAL + 10,
}
_NUMBERS = {5: 10, logging.DEBUG: 20, logging.INFO: 30, logging.WARNING: 40, logging.ERROR: 50, logging.CRITICAL: 60}


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "level": _NUMBERS.get(record.levelno, 30),
            "time": time.time_ns() // 1_000_000,
            "driver": "opendal",
            "pid": os.getpid(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info is not None and record.exc_info[1] is not None:
            error = record.exc_info[1]
            line["err"] = {
                "type": type(error).__name__,
                "message": str(error)[:2000],
                "stack": "".join(traceback.format_exception(error))[:8000],
            }
        line["msg"] = record.getMessage()
        return json.dumps(line, default=str)


def create_log(level: str) -> logging.Logger:
    log = logging.getLogger("outrigger_opendal")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    log.handlers = [handler]
    log.setLevel(LEVELS[level])
    log.propagate = False
    # What asyncio and gRPC say is for the same reader, in the same form.
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(logging.WARNING, LEVELS[level]))
    return log


def fields(**values: object) -> dict[str, dict[str, object]]:
    """For `extra`: what stands beside the message."""
    return {"fields": values}
