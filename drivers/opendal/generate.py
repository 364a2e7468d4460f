"""Writes outrigger_opendal/gen/ from the .proto files; with --check, says whether it is what they give.

python generate.py [--check] [--proto FOLDER]
"""

from __future__ import annotations

import argparse
import filecmp
import re
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
PACKAGE = "outrigger_opendal.gen"
TARGET = HERE.joinpath(*PACKAGE.split("."))
FILES = (
    "outrigger/handshake/v1/handshake.proto",
    "outrigger/blob/v1/blob.proto",
)


def generate(proto: Path, target: Path) -> None:
    """protoc's own layout, with imports that lead into this package and nowhere else."""
    target.mkdir(parents=True, exist_ok=True)
    outputs = [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
    # protoc's own code is the exit code; its words are on stderr already.
    if protoc.main(["protoc", f"-I{proto}", *outputs, *FILES]) != 0:
        raise SystemExit(1)
    for file in [*target.rglob("*.py"), *target.rglob("*.pyi")]:
        text = file.read_text()
        file.write_text(re.sub(r"^from outrigger\.", f"from {PACKAGE}.outrigger.", text, flags=re.MULTILINE))
    for folder in [target, *(path for path in target.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").touch()


def files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for ending in ("py", "pyi") for path in folder.rglob(f"*.{ending}")}


def check(proto: Path) -> list[str]:
    """The files that differ from what the .proto files give."""
    with tempfile.TemporaryDirectory() as made:
        fresh = Path(made)
        generate(proto, fresh)
        wanted, there = files(fresh), files(TARGET)
        differing = {name for name in wanted & there if not filecmp.cmp(fresh / name, TARGET / name, shallow=False)}
        return sorted(str(name) for name in differing | (wanted ^ there))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--proto", type=Path, default=HERE.parent.parent / "proto")
    arguments = parser.parse_args()
    if not arguments.check:
        generate(arguments.proto, TARGET)
        return
    stale = check(arguments.proto)
    if stale:
        sys.exit(f"run `python generate.py`: these are not what the .proto files give: {', '.join(stale)}")


if __name__ == "__main__":
    main()
