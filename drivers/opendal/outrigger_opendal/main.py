"""The driver as a program: options, logs, signals, and an end that says why."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import NoReturn

from . import VERSION
from .errors import OutriggerError, UsageError
from .logs import create_log
from .options import Options, read_options, usage
from .probe import probe
from .server import serve
from .store import StoreOptions, initialise, open_store


def main() -> NoReturn:
    argv = sys.argv[1:]
    if "--help" in argv or "-h" in argv:
        print(usage())
        sys.exit(0)
    if "--version" in argv:
        print(f"opendal {VERSION}")
        sys.exit(0)
    log: logging.Logger | None = None
    try:
        if argv[:1] == ["health"]:
            print(probe(argv[1:], os.environ))
            _exit(0)
        options = read_options(argv, os.environ)
        log = create_log(options.log_level)
        asyncio.run(_run(options, log))
    except (UsageError, OutriggerError) as error:
        # For a person at a terminal as it is, else as the JSON line that log collectors expect.
        if log is None or sys.stderr.isatty():
            print(f"outrigger-driver-opendal: {error}", file=sys.stderr)
        else:
            log.critical(str(error))
        _exit(1)
    _exit(0)


async def _run(options: Options, log: logging.Logger) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    settings = StoreOptions(
        service=options.service,
        part_bytes=options.part_bytes,
        whole_bytes=options.whole_bytes,
        lock_wait_ms=options.lock_wait_ms,
        read_only=options.read_only,
    )
    if options.init:
        await initialise(settings, log)
        log.info("the store has its id")
        return
    if options.listen is None:
        raise UsageError("--listen is missing: unix:///path/x.sock or host:port (or set OUTRIGGER_LISTEN)")
    opening = asyncio.ensure_future(open_store(settings, log))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not opening.done():
        raise UsageError("told to stop before it was ready")
    store = opening.result()
    try:
        await serve(options, options.listen, store, stop, log)
    finally:
        stopping.cancel()
        await store.backend.close()


def _exit(code: int) -> NoReturn:
    """At once: OpenDAL's threads must not keep a process that was told to stop."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
