"""Compile the .proto files beside this module: `python -m heapwatch_wire.proto.compile` (needs grpcio-tools).

Writes `descriptors.binpb`, which `heapwatch_wire.proto` loads, and `__init__.pyi`, which type checkers read.
A descriptor set is used, not generated modules, because those refuse to load under an older protobuf
runtime than the one that they were generated with.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet

FOLDER = Path(__file__).parent
SOURCES = ("profile", "push", "querier", "types")

_HEADER = '''"""Message classes of pprof and of the Pyroscope API, written by heapwatch_wire.proto.compile."""

from collections import abc
from typing import Any

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer, RepeatedScalarFieldContainer
from google.protobuf.message import Message
'''

_F = FieldDescriptorProto
_SCALARS = {
    _F.TYPE_INT64: "int",
    _F.TYPE_UINT64: "int",
    _F.TYPE_ENUM: "int",
    _F.TYPE_DOUBLE: "float",
    _F.TYPE_BOOL: "bool",
    _F.TYPE_STRING: "str",
    _F.TYPE_BYTES: "bytes",
}


def compile_descriptors() -> bytes:
    """The serialized FileDescriptorSet of all sources, without comments."""
    root = FOLDER.parents[1]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "descriptors.binpb"
        files = [f"heapwatch_wire/proto/{name}.proto" for name in SOURCES]
        options = [f"--proto_path={root}", f"--descriptor_set_out={out}", "--include_imports"]
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, *files], check=True)
        return out.read_bytes()


def write_stub(descriptors: bytes) -> str:
    """The text of `__init__.pyi`: a typed class per message, a constant per enum value."""
    files = FileDescriptorSet.FromString(descriptors).file
    messages = sorted((m for f in files for m in f.message_type), key=lambda m: m.name)
    values = sorted((v.name, v.number) for f in files for e in f.enum_type for v in e.value)
    parts = [_HEADER, *(f"{name}: int  # {number}" for name, number in values)]
    parts += [_message_class(message) for message in messages]
    return "\n".join(parts) + "\n"


def _message_class(message: DescriptorProto) -> str:
    if not message.field:
        return f"\nclass {message.name}(Message): ..."
    lines = [f"\nclass {message.name}(Message):"]
    arguments = []
    for field in message.field:
        kind = _SCALARS.get(field.type) or field.type_name.rpartition(".")[2]
        accepted = kind if field.type in _SCALARS else f"{kind} | abc.Mapping[str, Any]"
        if field.label == _F.LABEL_REPEATED:
            container = "Scalar" if field.type in _SCALARS else "Composite"
            lines += ["    @property"]
            lines += [f"    def {field.name}(self) -> Repeated{container}FieldContainer[{kind}]: ..."]
            accepted = f"abc.Iterable[{accepted}]"
        elif field.type in _SCALARS:
            lines += [f"    {field.name}: {kind}"]
        else:
            lines += ["    @property", f"    def {field.name}(self) -> {kind}: ..."]
        arguments.append(f"        {field.name}: {accepted} | None = ...,")
    lines += ["    def __init__(", "        self,", "        *,", *arguments, "    ) -> None: ..."]
    return "\n".join(lines)


def main() -> None:
    """Write both files."""
    descriptors = compile_descriptors()
    (FOLDER / "descriptors.binpb").write_bytes(descriptors)
    (FOLDER / "__init__.pyi").write_text(write_stub(descriptors), encoding="utf-8")


if __name__ == "__main__":
    main()
