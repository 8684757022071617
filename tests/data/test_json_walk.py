"""Walking JSON: every record as json.load gives it, wherever a chunk ends, and the line of what is broken."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lynx_cl.data import json_walk
from lynx_cl.data.json_walk import read_at, walk
from lynx_cl.errors import LynxError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(
    whole=st.lists(VALUES, max_size=6) | st.dictionaries(st.text(max_size=5), VALUES, max_size=5),
    chunk=st.sampled_from([1, 7, 4096]),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
)
def test_a_walk_gives_what_json_load_gives(tmp_path_factory, whole, chunk, indent, ascii_only):
    path = tmp_path_factory.mktemp("walk") / "a.json"
    text = json.dumps(whole, indent=indent, ensure_ascii=ascii_only)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_walk, "CHUNK", chunk)
        records = list(walk(path))
    with path.open("rb") as file:
        for record in records:
            assert read_at(file, record.offset, record.length) == record.value
            assert record.line == text.encode()[: record.offset].count(b"\n") + 1
    if isinstance(whole, list):
        assert [record.value for record in records] == whole
        return
    expected = []
    for name, value in whole.items():
        if isinstance(value, dict):
            expected += [(name, key, one) for key, one in value.items()]
        elif isinstance(value, list):
            expected += [(name, "", one) for one in value]
        else:
            expected.append((name, "", value))
    assert [(record.section, record.key, record.value) for record in records] == expected


def test_a_broken_line_leaves_the_others(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n{"a": \n{"b": "\xff"}\n{"c": 3}\n' + b"[" * 100_000)
    records = list(walk(path))
    assert [(record.line, record.value, bool(record.error)) for record in records] == [
        (1, {"a": 1}, False),
        (3, None, True),
        (4, None, True),
        (5, {"c": 3}, False),
        (6, None, True),
    ]
    assert [record.error.partition(" (")[2] for record in records if "JSON" in record.error][-1] == "nested too deeply)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2", r"a\.json, line 1: breaks off"),
        ('[1,\n2,\n{"a": }]', r"a\.json, line 3: no JSON"),
        ("[1,\n]", r"line 2: a comma before the end"),
        ("[1] 2", "goes on after its end"),
        ("12", "neither a JSON array nor a JSON object"),
        ('{"a": 1, 2: 3}', "a name in quotes"),
        ('{"a" 1}', "':' is expected"),
        ('[\n"\udcff"]', r"line 2: not UTF-8"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_broken_document_is_one_line(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(LynxError, match=message) as caught:
        list(walk(path))
    assert "\n" not in str(caught.value)
    with pytest.raises(LynxError, match="cannot be read"):
        list(walk(tmp_path / "none.json"))
