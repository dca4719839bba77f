"""Message classes of pprof (perftools.profiles) and of the Pyroscope API (push.v1, querier.v1, types.v1).

The classes are named as in the .proto files beside this module: `Profile`, `PushRequest`, `LabelPair`,
`FlameGraph`, ... and enum values are module constants. Needs the `protobuf` package, so only server rooms
import this; the agent encodes with `heapwatch_wire.pprof` and `heapwatch_wire.push`.

Parsing raises `google.protobuf.message.DecodeError` for bytes that are not the message.
"""

from importlib.resources import files

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessages


def _load() -> dict[str, object]:
    descriptors = FileDescriptorSet.FromString((files(__name__) / "descriptors.binpb").read_bytes())
    # A pool of our own: another package may have registered its own push.v1 or perftools.profiles.
    messages = GetMessages(list(descriptors.file), pool=DescriptorPool())
    names: dict[str, object] = {full.rpartition(".")[2]: kind for full, kind in messages.items()}
    for file in descriptors.file:
        for enum in file.enum_type:
            names.update((value.name, value.number) for value in enum.value)
    return names


globals().update(_load())
