"""The gRPC server of the driver: services, limits, expiry, and an end in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from . import NAME, VERSION
from .blobs import BlobService
from .calls import Admission, Calls, draining
from .gen.outrigger.blob.v1 import blob_pb2, blob_pb2_grpc
from .gen.outrigger.handshake.v1 import handshake_pb2, handshake_pb2_grpc
from .handshake import HandshakeService, contract_of, describe
from .health import Health
from .limits import MESSAGE_BYTES
from .listen import Listener, check_secure, parse_address
from .logs import fields
from .options import Options
from .store import Store
from .tls import Certificates
from .uploads import Uploads

DRAIN_S: Final = 2.0
"""What a stop may take to persist what was received."""
EXPIRE_FIRST_S: Final = 60.0
"""Soon, so that a driver that is often started anew expires something too; not while its cores reconnect."""
EXPIRE_EVERY_S: Final = 3600.0

_CHANNEL_OPTIONS: Final = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    # Another process on the same port is an error, not a half of the calls.
    ("grpc.so_reuseport", 0),
    # [process.keepalive.01] Less than the 5 minutes, so that a ping that comes a little early is no offence.
    ("grpc.http2.min_ping_interval_without_data_ms", 60_000),
    ("grpc.keepalive_permit_without_calls", 1),
]


async def serve(options: Options, listen: str, store: Store, stop: asyncio.Event, log: logging.Logger) -> None:
    """Until `stop` is set; then drained. @raise UsageError"""
    address = parse_address(listen)
    check_secure(address, listen, tls=options.tls is not None, insecure=options.insecure)
    credentials = None if options.tls is None else Certificates(options.tls, log).credentials()
    described = describe(store, options.upload_ttl_ms)
    admission = Admission(
        store_id=store.id,
        contract=contract_of(described),
        read_only=options.read_only,
        allow_clients=options.tls.allow_clients if options.tls else None,
    )
    calls = Calls(admission, log)
    uploads = Uploads(store, options.upload_ttl_ms, log)
    health = Health(store.backend, log)
    server = grpc.aio.server(options=_CHANNEL_OPTIONS)
    blob_pb2_grpc.add_BlobServiceServicer_to_server(BlobService(store.backend, uploads, calls), server)
    handshake_pb2_grpc.add_HandshakeServiceServicer_to_server(HandshakeService(calls, described, log), server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    services = [module.DESCRIPTOR.services_by_name.values() for module in (blob_pb2, handshake_pb2, health_pb2)]
    names = [service.full_name for some in services for service in some]
    reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], server)

    listener = Listener(address)
    bound = listener.bind(server, credentials)
    await server.start()
    expiring = None if options.read_only else asyncio.create_task(_expire(uploads, log))
    log.info(
        "serving",
        extra=fields(
            address=bound,
            name=NAME,
            version=VERSION,
            blob=store.id,
            service=options.service.service,
            capabilities=list(store.capabilities),
            readOnly=options.read_only,
        ),
    )
    for notice in store.notices:
        log.warning(notice)
    try:
        await stop.wait()
    finally:
        if expiring is not None:
            expiring.cancel()
        health.drain()
        calls.drain()
        uploads.stop(draining())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(calls.ended(), DRAIN_S)
        listener.close()
        await server.stop(0.2)
        log.info("stopped")


async def _expire(uploads: Uploads, log: logging.Logger) -> None:
    """[blob.expiry.01]"""
    await asyncio.sleep(EXPIRE_FIRST_S)
    while True:
        try:
            await uploads.expire()
        except Exception as error:
            log.warning("idle uploads could not be looked for", exc_info=error)
        await asyncio.sleep(EXPIRE_EVERY_S)
