"""Addresses to listen on: unix sockets, replaced when stale, and TCP, plain only where nobody else sees it."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from .errors import UsageError

_SOCKET_MODE: Final = 0o660
_EARLY: Final = ".new"
_PATH_BYTES: Final = 107 - len(_EARLY)
"""sockaddr_un's 108 bytes, the ending 0, and what the socket is called until it has its mode."""


@dataclass(frozen=True)
class Address:
    """One of both."""

    path: Path | None = None
    host: str = ""
    port: int = 0


def parse_address(text: str) -> Address:
    """@raise UsageError"""
    if text.startswith("unix:"):
        path = Path(re.sub("^//(?=/)", "", text.removeprefix("unix:"))).absolute()
        if len(os.fsencode(path)) > _PATH_BYTES:
            raise UsageError(f"the socket's path {path} is longer than {_PATH_BYTES} bytes: choose a shorter one")
        return Address(path=path)
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:/\s]+):(\d{1,5})", text)
    if match is None or int(match[2]) > 65535:
        raise UsageError(f"--listen {text} is neither unix:///path/x.sock nor host:port")
    return Address(host=match[1], port=int(match[2]))


def check_secure(address: Address, text: str, *, tls: bool, insecure: bool) -> None:
    """[process.tls.01] @raise UsageError"""
    if address.path is None and not _is_loopback(address.host) and not tls and not insecure:
        raise UsageError(
            f"--listen {text} is beyond loopback: give --tls-cert and --tls-key, or --insecure to serve plain text"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Listener:
    def __init__(self, address: Address) -> None:
        self._address = address
        self._inode: int | None = None

    def bind(self, server: grpc.aio.Server, credentials: grpc.ServerCredentials | None) -> str:
        """@return the address as a core is given it. @raise UsageError"""
        if self._address.path is not None:
            return self._bind_unix(server, self._address.path, credentials)
        target = f"{self._address.host}:{self._address.port}"
        port = _add_port(server, target, credentials)
        return f"{self._address.host}:{port}"

    def _bind_unix(self, server: grpc.aio.Server, path: Path, credentials: grpc.ServerCredentials | None) -> str:
        """[process.listen.02] The socket gets its mode before its name: nobody ever sees it open to all."""
        _assert_free(path)
        early = path.with_name(path.name + _EARLY)
        early.unlink(missing_ok=True)
        _add_port(server, f"unix:{early}", credentials)
        early.chmod(_SOCKET_MODE)
        early.rename(path)
        self._inode = path.stat().st_ino
        return f"unix://{path}"

    def close(self) -> None:
        """Takes the socket file away, if it is this process's still."""
        path = self._address.path
        if path is None:
            return
        with contextlib.suppress(FileNotFoundError):
            if path.lstat().st_ino == self._inode:
                path.unlink()


def _add_port(server: grpc.aio.Server, target: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        if credentials is None:
            return int(server.add_insecure_port(target))
        return int(server.add_secure_port(target, credentials))
    except RuntimeError as error:
        raise UsageError(f"{target} cannot be listened on: {str(error).splitlines()[0][:200]}") from error


def _assert_free(path: Path) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise UsageError(
            f"the socket {path} cannot be made: there is no folder {folder}: make it, or choose another path"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"the socket {path} cannot be made: this process may not write to {folder}: change its owner or mode, or "
            "choose another path"
        )
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise UsageError(f"{path} is there and is no socket: choose another path or remove it")
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return
        except OSError:
            # A socket that we may not open may well be served.
            pass
        raise UsageError(f"another process serves at {path}: stop it or choose another path")
