"""The committed descriptor set and stub are what the .proto files say."""

from __future__ import annotations

import pytest

json_format = pytest.importorskip("google.protobuf.json_format")
message = pytest.importorskip("google.protobuf.message")
proto = pytest.importorskip("heapwatch_wire.proto")
compiler = pytest.importorskip("heapwatch_wire.proto.compile")


@pytest.mark.integration
def test_committed_files_are_what_the_sources_compile_to() -> None:
    pytest.importorskip("grpc_tools")
    descriptors = compiler.compile_descriptors()
    assert descriptors == (compiler.FOLDER / "descriptors.binpb").read_bytes()
    assert compiler.write_stub(descriptors) == (compiler.FOLDER / "__init__.pyi").read_text(encoding="utf-8")


def test_messages_carry_the_public_json_names() -> None:
    asked = {"profileTypeID": "memory:inuse_space:bytes:space:bytes", "maxNodes": "64", "start": "1000"}
    request = json_format.ParseDict(asked, proto.SelectMergeStacktracesRequest())
    assert request.profile_typeID == "memory:inuse_space:bytes:space:bytes"
    assert request.HasField("max_nodes")
    assert json_format.MessageToDict(request) == asked


def test_a_query_answer_survives_the_wire() -> None:
    graph = proto.FlameGraph(names=["total", "main"], levels=[{"values": [0, 7, 0, 0]}], total=7, max_self=3)
    answer = proto.SelectMergeStacktracesResponse(flamegraph=graph)
    back = proto.SelectMergeStacktracesResponse.FromString(answer.SerializeToString())
    assert list(back.flamegraph.levels[0].values) == [0, 7, 0, 0]


def test_bytes_that_are_no_message_are_refused() -> None:
    with pytest.raises(message.DecodeError):
        proto.Profile.FromString(b"\x0a\xff")
