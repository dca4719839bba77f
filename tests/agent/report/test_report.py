"""`heapwatch report`: the numbers, each format, and whatever else people give it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from heapwatch.report.formats import WRITERS, by_name
from heapwatch.report.kinds import choose
from heapwatch.report.tree import build, prune, rows
from heapwatch_wire import pprof
from heapwatch_wire.pprof import Profile, Sample
from heapwatch_wire.protobuf import Writer
from heapwatch_wire.sites import Frame
from hypothesis import given
from hypothesis import strategies as st

MIB = 1 << 20


def test_the_table_has_flat_and_cumulative_values_by_line(profile: Profile, save: Any, call: Any) -> None:
    code, out, _ = call("report", save(profile))
    assert code == 0
    assert "inuse_space: 6.00 MiB in 4 samples, one per 64.0 KiB on average" in out
    lines = {line.split()[-2]: line.split() for line in out.splitlines() if "MiB" in line and "(" in line}
    assert lines["Session.query"][:8] == ["4.00", "MiB", "67%", "67%", "4.00", "MiB", "67%", "40"]
    assert lines["load"][:8] == ["1.00", "MiB", "17%", "83%", "6.00", "MiB", "100%", "6"]
    assert lines["main"][:7] == ["0", "B", "0%", "100%", "6.00", "MiB", "100%"]
    assert "4.00 MiB (67%) in 40 objects\n    Session.query (orm/session.py:7)\n    load" in out
    assert max(map(len, out.splitlines())) <= 100


def test_another_sample_type_is_shown_on_request(profile: Profile, save: Any, call: Any) -> None:
    assert "alloc_space: 11.0 MiB" in call("report", save(profile), "--type", "alloc_space")[1]
    assert "inuse_objects: 56 " in call("report", save(profile), "--type", "inuse_objects")[1]
    code, _, err = call("report", save(profile), "--type", "cpu")
    assert code == 1
    assert "no sample type 'cpu'" in err
    assert "alloc_objects, alloc_space, inuse_objects, inuse_space" in err


def test_a_recursive_line_counts_once(save: Any, call: Any) -> None:
    walk = Frame("walk", "/srv/a.py", 1)
    file = save(Profile(samples=(Sample((walk, walk, walk), (1, 100, 1, 100)),)))
    (site,) = json.loads(call("report", file, "--format", "json")[1])["sites"]
    assert (site["flat"], site["cumulative"]) == (100, 100)


def test_folded_stacks_add_up_labels(profile: Profile, save: Any, call: Any) -> None:
    assert call("report", save(profile), "--format", "folded")[1].splitlines() == [
        f"main (/srv/shop/app.py:10);load (/srv/shop/app.py:20) {MIB}",
        "main (/srv/shop/app.py:10);load (/srv/shop/app.py:20);"
        f"Session.query (/opt/lib/python3.11/site-packages/orm/session.py:7) {4 * MIB}",
        "main (/srv/shop/app.py:10);load (/srv/shop/app.py:20);"
        f"decode (/usr/lib/python3.11/json/decoder.py:300) {MIB}",
    ]


def test_json_has_exact_values(profile: Profile, save: Any, call: Any, tmp_path: Path) -> None:
    code, out, _ = call("report", save(profile), "-o", str(tmp_path / "heap.json"))
    assert code == 0
    assert "heap.json: json, " in out
    document = json.loads((tmp_path / "heap.json").read_text())
    assert (document["total"], document["unit"], document["interval"]) == (6 * MIB, "bytes", 65536)
    heaviest = document["stacks"][0]
    assert (heaviest["value"], heaviest["objects"]) == (4 * MIB, 40)
    assert [document["frames"][i]["function"] for i in heaviest["frames"]] == [
        "Session.query",
        "load",
        "main",
    ]


def test_speedscope_has_the_shape_of_its_schema(
    profile: Profile, save: Any, call: Any, tmp_path: Path
) -> None:
    path = tmp_path / "heap.speedscope.json"
    assert call("report", save(profile), "-o", str(path), "--type", "alloc_space")[0] == 0
    document = json.loads(path.read_text())
    _assert_speedscope(document)
    shown = document["profiles"][document["activeProfileIndex"]]
    assert (shown["name"], shown["unit"], shown["endValue"]) == ("alloc_space", "bytes", 11 * MIB)
    names = [document["shared"]["frames"][i]["name"] for i in shown["samples"][0]]
    assert names == ["main", "load", "Session.query"]


def _assert_speedscope(document: dict[str, Any]) -> None:
    """The required properties and types of speedscope's file-format-schema.json for sampled profiles."""
    assert document["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    frames = document["shared"]["frames"]
    for frame in frames:
        assert isinstance(frame["name"], str)
        assert frame.keys() <= {"name", "file", "line", "col"}
        assert isinstance(frame.get("line", 1), int)
    units = {"none", "bytes", "nanoseconds", "microseconds", "milliseconds", "seconds"}
    for view in document["profiles"]:
        required = {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
        assert view.keys() == required
        assert view["type"] == "sampled"
        assert view["unit"] in units
        assert len(view["samples"]) == len(view["weights"])
        assert all(0 <= i < len(frames) for stack in view["samples"] for i in stack)
        assert sum(view["weights"]) == view["endValue"] - view["startValue"]


def test_an_svg_is_well_formed_and_its_widths_are_shares(profile: Profile, save: Any, call: Any) -> None:
    svg = ElementTree.fromstring(call("report", save(profile), "--format", "svg")[1])
    space = "{http://www.w3.org/2000/svg}"
    bars = {}
    for bar in svg.iter(f"{space}rect"):
        tip = bar.find(f"{space}title")
        if tip is not None and tip.text:
            bars[tip.text.splitlines()[0]] = (float(bar.get("x", "")), float(bar.get("width", "")))
    assert bars["all"] == (0, 1200)
    assert bars["Session.query (orm/session.py:7)"] == (0, 800)
    assert bars["decode (/usr/lib/python3.11/json/decoder.py:300)"] == (800, 200)


def test_a_page_holds_names_as_data_only(hostile: Profile, save: Any, call: Any) -> None:
    code, out, _ = call("report", save(hostile), "--format", "html")
    assert code == 0
    assert "window.hacked=1</script>" not in out
    assert "<img" not in out
    assert len(re.findall(r"<script", out)) == 2
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', out, re.DOTALL)
    assert block is not None
    functions = {frame[0] for frame in json.loads(block[1])["frames"]}
    assert {sample.stack[0].function for sample in hostile.samples} <= functions


def test_a_page_asks_for_nothing(profile: Profile, save: Any, call: Any) -> None:
    out = call("report", save(profile), "--format", "html")[1]
    assert "default-src 'none'" in out
    assert not re.search(r"https?://|(src|href)\s*=|@import|url\(", out)


def test_hostile_names_leave_every_format_readable(hostile: Profile, save: Any, call: Any) -> None:
    file = save(hostile)
    ElementTree.fromstring(call("report", file, "--format", "svg")[1])
    folded = call("report", file, "--format", "folded")[1].splitlines()
    assert len(folded) == 3
    assert all(line.count(";") == 1 for line in folded)
    assert "\x1b" not in call("report", file)[1]
    _assert_speedscope(json.loads(call("report", file, "--format", "speedscope")[1]))


def test_profiles_of_other_producers_are_taken(save: Any, call: Any) -> None:
    """A CPU profile as Go makes it: other types, missing names, a sample without a stack, values of zero."""
    strange = Profile(
        sample_types=(("samples", "count"), ("cpu", "nanoseconds")),
        period_type=("cpu", "nanoseconds"),
        default_sample_type="cpu",
        samples=(
            Sample((Frame("", "", 0), Frame("main.main", "", 0)), (2, 20_000_000)),
            Sample((), (1, 10_000_000)),
            Sample((Frame("gone", "a.go", 1),), (0, 0)),
        ),
    )
    file = save(strange)
    out = call("report", file)[1]
    assert "cpu: 30 ms in 3 samples" in out
    assert "main.main" in out
    for form in WRITERS:
        assert call("report", file, "--format", form)[0] == 0


@pytest.mark.parametrize("form", WRITERS)
def test_an_empty_profile_is_a_report_too(form: str, save: Any, call: Any) -> None:
    assert call("report", save(Profile()), "--format", form)[0] == 0


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no profile at all", "is no pprof profile"),
        (b"\x1f\x8bcut", "is no pprof profile"),
        (b"", "is no pprof profile"),
        (bytes(Writer().text(6, "", keep=True)), "has no sample types"),
    ],
)
def test_a_bad_file_is_one_clear_line(data: bytes, said: str, tmp_path: Path, call: Any) -> None:
    path = tmp_path / "bad.pb.gz"
    path.write_bytes(data)
    code, out, err = call("report", str(path))
    assert (code, out) == (1, "")
    assert said in err.splitlines()[0]


def test_what_can_not_be_read_or_written_is_said(
    profile: Profile, save: Any, call: Any, tmp_path: Path
) -> None:
    assert "can't be read" in call("report", str(tmp_path / "none.pb.gz"))[2]
    assert "can't be written" in call("report", save(profile), "-o", str(tmp_path / "no" / "heap.svg"))[2]
    code, _, err = call("report", save(profile), "-o", str(tmp_path / "heap.doc"))
    assert code == 1
    assert ".html" in err
    assert call("report", save(profile), "-o", str(tmp_path / "heap.doc"), "--format", "svg")[0] == 0


def test_endings_tell_the_format() -> None:
    asked = ["a.html", "a.SVG", "a.folded", "a.speedscope.json", "a.json", "a.txt", "a.pb.gz", "html"]
    assert [by_name(name) for name in asked] == [
        "html", "svg", "folded", "speedscope", "json", "table", None, None,
    ]  # fmt: skip


_frames = st.builds(Frame, st.sampled_from("abc"), st.sampled_from(["", "f.py"]), st.integers(0, 2))
_samples = st.lists(st.tuples(st.lists(_frames, max_size=5).map(tuple), st.tuples(st.integers(0, 99))))


@given(_samples)
def test_a_tree_keeps_every_value(samples: list[tuple[tuple[Frame, ...], tuple[int]]]) -> None:
    root = build(samples, 1)
    assert root.values == [sum(values[0] for _, values in samples)]
    for row in rows(root):
        below = sum(child.values[0] for child in row.node.children.values())
        assert below <= row.node.values[0]


@given(_samples, st.integers(1, 10))
def test_a_pruned_tree_fits_and_keeps_its_whole(
    samples: list[tuple[tuple[Frame, ...], tuple[int]]], limit: int
) -> None:
    root = build(samples, 1)
    whole, nodes = list(root.values), len(rows(root))
    share = prune(root, limit)
    assert root.values == whole
    assert len(rows(root)) <= limit
    assert (share > 0) <= (nodes > limit)


def test_a_type_is_chosen_as_people_expect() -> None:
    assert choose(Profile()).name == "inuse_space"
    go = Profile(sample_types=(("samples", "count"), ("cpu", "nanoseconds")))
    assert choose(go).name == "cpu"
    assert (
        choose(pprof.Profile(sample_types=go.sample_types, default_sample_type="samples")).name == "samples"
    )
