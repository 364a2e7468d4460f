"""Options: from flags, then environment, then a YAML file, then defaults. Unknown flags and keys are errors."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from .errors import UsageError
from .limits import MIB, UPLOAD_TTL_LEAST_MS
from .logs import LEVELS
from .services import ServiceOptions

Kind = Literal["string", "boolean", "bytes", "duration", "pairs"]


@dataclass(frozen=True)
class Spec:
    kind: Kind
    doc: str
    default: Any = None
    choices: tuple[str, ...] = ()


SPECS: Final[Mapping[str, Spec]] = {
    "service": Spec("string", "OpenDAL's name of the service: s3, fs, memory, gcs, azblob, oss, obs, cos, swift …"),
    "option": Spec("pairs", "NAME=VALUE of OpenDAL's own, as often as needed; in the file a map `options`."),
    "optionFile": Spec("pairs", "NAME=PATH: the value is what the file holds; for secrets. In the file `optionFiles`."),
    "partSize": Spec("bytes", "Uploads are kept in parts of so much, each in memory until it is written.", 8 * MIB),
    "wholeLimit": Spec("bytes", "The largest blob where a service cannot write in pieces: it is in memory.", 64 * MIB),
    "uploadTtl": Spec("duration", "Uploads that nobody used for so long are taken away; at least 24h.", 7 * 86_400_000),
    "listen": Spec("string", "Where to serve: unix:///path/x.sock or host:port."),
    "config": Spec("string", "A YAML file with these options by their camelCase names."),
    "init": Spec("boolean", "Write the store id where it is absent, and exit.", False),
    "readOnly": Spec("boolean", "Refuse every change: the store is sealed.", False),
    "insecure": Spec("boolean", "Serve plain text beyond loopback all the same.", False),
    "tlsCert": Spec("string", "PEM file with the certificate chain; reread when it changes."),
    "tlsKey": Spec("string", "PEM file with the certificate's key; reread when it changes."),
    "tlsClientCa": Spec("string", "PEM file: clients must have a certificate signed by it."),
    "tlsAllowClient": Spec("string", "Names, comma separated, one of which a client's certificate must have."),
    "logLevel": Spec("string", "How much is logged, as JSON lines on stderr.", "info", tuple(LEVELS)),
    "lockWait": Spec("duration", "How long to wait for another process to give up the store.", 0),
}

_OPTION_VARIABLE: Final = "OUTRIGGER_OPTION_"
_FILE_NAMES: Final = {"option": "options", "optionFile": "optionFiles"}
_BYTES: Final = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_TIMES: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True)
class TlsOptions:
    cert: Path
    key: Path
    client_ca: Path | None
    allow_clients: tuple[str, ...] | None


@dataclass(frozen=True)
class Options:
    service: ServiceOptions
    part_bytes: int
    whole_bytes: int
    upload_ttl_ms: int
    listen: str | None
    init: bool
    read_only: bool
    insecure: bool
    tls: TlsOptions | None
    log_level: str
    lock_wait_ms: int


def read_options(argv: Sequence[str], env: Mapping[str, str]) -> Options:
    """@raise UsageError that names the flag, variable or key"""
    values = _merged(argv, env)
    service = values["service"]
    if service is None:
        raise UsageError(f"--service is missing: {SPECS['service'].doc} (or set OUTRIGGER_SERVICE)")
    options = dict(values["option"])
    for name, path in values["optionFile"].items():
        try:
            options[name] = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--option-file {name}={path} cannot be read: {error}") from error
    _check_sizes(values)
    return Options(
        service=ServiceOptions(service, options),
        part_bytes=values["partSize"],
        whole_bytes=values["wholeLimit"],
        upload_ttl_ms=values["uploadTtl"],
        listen=values["listen"],
        init=values["init"],
        read_only=values["readOnly"],
        insecure=values["insecure"],
        tls=_tls(values),
        log_level=values["logLevel"],
        lock_wait_ms=values["lockWait"],
    )


def usage() -> str:
    rows = []
    for name, spec in SPECS.items():
        flag = flag_of(name) + {"boolean": "", "pairs": " NAME=VALUE"}.get(spec.kind, f" {spec.kind.upper()}")
        variable = f"{_OPTION_VARIABLE}<NAME>" if name == "option" else variable_of(name)
        preset = "" if spec.default is None else f" (default {str(spec.default).lower()})"
        rows.append((flag, f"{spec.doc}{preset} [{variable}]"))
    width = max(len(flag) for flag, _ in rows)
    return "\n".join(
        [
            "outrigger-driver-opendal --service SERVICE --listen ADDRESS [flags]",
            "outrigger-driver-opendal health [ADDRESS]",
            "",
            "Outrigger's blob store over any OpenDAL service.",
            "",
            *(f"  {flag.ljust(width)}  {doc}" for flag, doc in rows),
            "",
            "Flags win over OUTRIGGER_* variables, those over the file.",
        ]
    )


def flag_of(name: str) -> str:
    """ "lockWait" → "--lock-wait" """
    return "--" + re.sub("[A-Z]", lambda letter: f"-{letter[0].lower()}", name)


def variable_of(name: str) -> str:
    """ "lockWait" → "OUTRIGGER_LOCK_WAIT" """
    return "OUTRIGGER_" + re.sub("[A-Z]", lambda letter: f"_{letter[0]}", name).upper()


def _merged(argv: Sequence[str], env: Mapping[str, str]) -> dict[str, Any]:
    flags = _read_flags(argv)
    config = flags.get("config") or env.get(variable_of("config"))
    file = _read_file(config) if config else {}
    values: dict[str, Any] = {}
    for name, spec in SPECS.items():
        if spec.kind == "pairs":
            values[name] = {**file.get(name, {}), **_pairs_of(name, env), **flags.get(name, {})}
        elif name in flags:
            values[name] = _convert(flag_of(name), spec, flags[name])
        elif env.get(variable_of(name)):
            values[name] = _convert(variable_of(name), spec, env[variable_of(name)])
        elif name in file:
            values[name] = _convert(f"{name} in {config}", spec, file[name])
        else:
            values[name] = spec.default
    return values


def _pairs_of(name: str, env: Mapping[str, str]) -> dict[str, str]:
    """OUTRIGGER_OPTION_SECRET_ACCESS_KEY=… and OUTRIGGER_OPTION_FILE_SECRET_ACCESS_KEY=/path"""
    files = {
        key.removeprefix(f"{_OPTION_VARIABLE}FILE_").lower(): value
        for key, value in env.items()
        if key.startswith(f"{_OPTION_VARIABLE}FILE_") and value
    }
    if name == "optionFile":
        return files
    return {
        key.removeprefix(_OPTION_VARIABLE).lower(): value
        for key, value in env.items()
        if key.startswith(_OPTION_VARIABLE) and not key.startswith(f"{_OPTION_VARIABLE}FILE_") and value
    }


def _read_flags(argv: Sequence[str]) -> dict[str, Any]:
    names = {flag_of(name): name for name in SPECS}
    found: dict[str, Any] = {}
    rest = list(argv)
    while rest:
        word, _, inline = rest.pop(0).partition("=") if rest[0].startswith("--") else (rest.pop(0), "", "")
        negated = word.startswith("--no-") and names.get(f"--{word[5:]}")
        name = names.get(word) or negated
        if not name or (negated and SPECS[name].kind != "boolean"):
            near = difflib.get_close_matches(word, names, 1)
            hint = f": did you mean {near[0]}?" if near else ": --help lists the flags"
            raise UsageError(f"unknown argument {word}{hint}")
        spec = SPECS[name]
        if spec.kind == "boolean":
            found[name] = inline if inline else not negated
            continue
        if not inline:
            if not rest:
                raise UsageError(f"{word} needs a value: {spec.doc}")
            inline = rest.pop(0)
        if spec.kind == "pairs":
            key, equals, value = inline.partition("=")
            if not equals or not key:
                raise UsageError(f"{word} {key} is not NAME=VALUE")
            found.setdefault(name, {})[key] = value
        else:
            found[name] = inline
    return found


def _read_file(path: str) -> dict[str, Any]:
    try:
        parsed = yaml.safe_load(Path(path).read_text()) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"the configuration file {path} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(parsed, dict):
        raise UsageError(f'the configuration file {path} is not a list of "name: value" lines')
    names = {_FILE_NAMES.get(name, name): name for name in SPECS if name != "config"}
    found: dict[str, Any] = {}
    for key, value in parsed.items():
        name = names.get(key)
        if name is None:
            raise UsageError(f"{path} has the unknown key {key}; known are {', '.join(names)}")
        if SPECS[name].kind == "pairs":
            if not isinstance(value, dict):
                raise UsageError(f"{key} in {path} is not a map of names and values")
            value = {str(one): _as_text(told) for one, told in value.items()}
        found[name] = value
    return found


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _convert(where: str, spec: Spec, value: object) -> Any:
    def wrong(expected: str) -> UsageError:
        return UsageError(f"{where} is {json.dumps(value, default=str)}, not {expected}")

    if spec.kind == "boolean":
        known = {"true": True, "1": True, "false": False, "0": False}
        if isinstance(value, bool):
            return value
        if str(value) not in known:
            raise wrong("true or false")
        return known[str(value)]
    if spec.kind == "bytes":
        return _with_unit(str(value), _BYTES, wrong("a size such as 64MiB or 1048576"))
    if spec.kind == "duration":
        return _with_unit(str(value), _TIMES, wrong("a time such as 500ms, 30s, 5m or 24h"))
    if not isinstance(value, str):
        raise wrong("text")
    if spec.choices and value not in spec.choices:
        raise wrong(f"one of {', '.join(spec.choices)}")
    return value


def _with_unit(text: str, units: Mapping[str, int], wrong: UsageError) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    if match is None:
        raise wrong
    number = float(match[1])
    if number == 0:
        return 0
    if match[2] not in units:
        raise wrong
    return round(number * units[match[2]])


def _check_sizes(values: Mapping[str, Any]) -> None:
    # Services want parts of 5 MiB at least; more than 64 MiB would be held for each upload under way.
    if not 5 * MIB <= values["partSize"] <= 64 * MIB:
        raise UsageError(f"--part-size is {values['partSize']} bytes, not from 5MiB to 64MiB")
    if values["uploadTtl"] < UPLOAD_TTL_LEAST_MS:
        raise UsageError("--upload-ttl is less than 24h")


def _tls(values: Mapping[str, Any]) -> TlsOptions | None:
    cert, key = values["tlsCert"], values["tlsKey"]
    client_ca, allow = values["tlsClientCa"], values["tlsAllowClient"]
    if cert is None and key is None:
        if client_ca is not None or allow is not None:
            raise UsageError("--tls-client-ca and --tls-allow-client need --tls-cert and --tls-key")
        return None
    if cert is None or key is None:
        raise UsageError("--tls-cert and --tls-key belong together: one is missing")
    if allow is not None and client_ca is None:
        raise UsageError("--tls-allow-client needs --tls-client-ca: without it clients show no certificate")
    names = None if allow is None else tuple(name.strip() for name in allow.split(","))
    return TlsOptions(Path(cert), Path(key), None if client_ca is None else Path(client_ca), names)
