"""A push request is what the compiled messages say."""

from __future__ import annotations

import pytest
from heapwatch_wire import push
from hypothesis import given
from hypothesis import strategies as st

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.dictionaries(text, text), st.binary(), text)
def test_labels_profile_and_identifier_arrive(
    labels: dict[str, str], profile: bytes, identifier: str
) -> None:
    proto = pytest.importorskip("heapwatch_wire.proto")
    message = proto.PushRequest.FromString(push.encode(labels, profile, identifier))
    [series] = message.series
    assert [(pair.name, pair.value) for pair in series.labels] == sorted(labels.items())
    [sample] = series.samples
    assert (sample.raw_profile, sample.ID) == (profile, identifier)
