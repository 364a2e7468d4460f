"""TLS of the server: certificates reread when their files change, and the client names that may call."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import grpc

from .errors import OutriggerError, UsageError
from .options import TlsOptions


class Certificates:
    """What the files hold. gRPC asks at every handshake, so that a renewed certificate is used at once."""

    def __init__(self, options: TlsOptions, log: logging.Logger) -> None:
        self._options = options
        self._log = log
        self._mark = self._look()

    def credentials(self) -> grpc.ServerCredentials:
        """@raise UsageError when the files cannot be used"""
        try:
            first = self._load()
        except OSError as error:
            raise UsageError(f"the TLS files cannot be used: {error}") from error
        mutual = self._options.client_ca is not None
        return grpc.dynamic_ssl_server_credentials(first, self._renewed, require_client_authentication=mutual)

    def _load(self) -> grpc.ServerCertificateConfiguration:
        options = self._options
        roots = None if options.client_ca is None else options.client_ca.read_bytes()
        return grpc.ssl_server_certificate_configuration([(options.key.read_bytes(), options.cert.read_bytes())], roots)

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """None: as before."""
        try:
            mark = self._look()
            if mark == self._mark:
                return None
            fresh = self._load()
        except OSError as error:
            self._log.error("the changed TLS files cannot be used: the last good ones stay", exc_info=error)
            return None
        self._mark = mark
        self._log.info("the TLS certificate has changed and is in use")
        return fresh

    def _look(self) -> list[tuple[int, int, int]]:
        """Changes when a file does, also behind the symbolic links that Kubernetes swaps."""
        files = [self._options.cert, self._options.key, self._options.client_ca]
        return [_mark_of(file) for file in files if file is not None]


def _mark_of(file: Path) -> tuple[int, int, int]:
    try:
        status = file.stat()
    except OSError as error:
        raise UsageError(f"the TLS file {file} cannot be read: {error.strerror}") from error
    return (status.st_ino, status.st_mtime_ns, status.st_size)


def check_client(context: grpc.aio.ServicerContext, allowed: Sequence[str] | None) -> None:
    """@raise NOT_ALLOWED"""
    if allowed is None:
        return
    shown = context.auth_context()
    names = [
        name.decode(errors="replace")
        for kind in ("x509_common_name", "x509_subject_alternative_name")
        for name in shown.get(kind, ())
    ]
    if not any(name in allowed for name in names):
        raise OutriggerError("NOT_ALLOWED", "the client's certificate has none of the names this driver allows")
