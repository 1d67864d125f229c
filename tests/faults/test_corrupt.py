"""What each mode makes of a body: whole, in parts, as a stream, compressed, and of any type."""

import gzip
import json
import zlib
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chalicelib.faults.corrupt import MODES, Corrupt, Mode
from tests.faults.changing import Sent
from tests.faults.support import FakeHitCall, drive

JSON = "application/json"
DOCUMENT = {"id": 7, "name": "pen", "tags": ["a", "b"], "price": 1.5, "sold": True, "maker": None, "of": {"n": [1]}}
TEXT = json.dumps(DOCUMENT).encode()


def corrupted(
    mode: Mode,
    parts: Sequence[bytes],
    *,
    share: float = 0.5,
    wrong: bool = False,
    length: int | None = -1,
    chance: float = 0.5,
    **headers: str,
) -> Sent:
    """`length` -1: the right one, None: none."""
    known = sum(map(len, parts)) if length == -1 else length
    given_headers = [(name.replace("_", "-"), value) for name, value in {"content_type": JSON, **headers}.items()]
    if known is not None:
        given_headers.append(("Content-Length", str(known)))
    call = FakeHitCall(chance=lambda: chance)
    _, applied = drive(Corrupt(mode=mode, body_share=share, is_length_wrong=wrong), call)
    assert applied.details == {"mode": mode}
    assert applied.change
    return Sent(applied.change, parts, given_headers)


COUNTED = {"corrupted_answers": 1}


def split(body: bytes, size: int) -> list[bytes]:
    return [body[place : place + size] for place in range(0, len(body), size)]


# Lengths

BODIES = st.one_of(st.binary(min_size=1, max_size=200), st.just(TEXT), st.just(b"x" * 10_000))


@given(body=BODIES, size=st.integers(1, 50), mode=st.sampled_from(list(MODES)), share=st.floats(0.001, 1.0))
@settings(deadline=None)
def test_the_length_is_right_or_there_is_none(body: bytes, size: int, mode: Mode, share: float) -> None:
    sent = corrupted(mode, split(body, size), share=share)
    assert int(sent.headers.get("content-length", len(sent.body))) == len(sent.body)
    assert not sent.is_cut
    assert (sent.body != body) == (sent.counters == COUNTED)


@given(body=BODIES, size=st.integers(1, 50), mode=st.sampled_from(list(MODES)), share=st.floats(0.001, 1.0))
@settings(deadline=None)
def test_a_wrong_length_promises_more_than_is_sent_before_the_connection_breaks_off(
    body: bytes, size: int, mode: Mode, share: float
) -> None:
    sent = corrupted(mode, split(body, size), share=share, wrong=True)
    assert int(sent.headers["content-length"]) == len(body) > len(sent.body)
    assert sent.is_cut


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wrong", [False, True])
def test_an_empty_body_stays_what_it_is(mode: Mode, *, wrong: bool) -> None:
    sent = corrupted(mode, [], wrong=wrong)
    assert (sent.body, sent.headers["content-length"], sent.counters, sent.is_cut) == (b"", "0", {}, False)


@pytest.mark.parametrize("mode", MODES)
def test_a_stream_breaks_off_where_its_length_is_to_be_wrong(mode: Mode) -> None:
    sent = corrupted(mode, split(TEXT, 10), length=None, wrong=True)
    assert sent.is_cut
    assert "content-length" not in sent.headers


def test_what_says_what_the_body_was_stays_so_that_a_client_can_find_it_out() -> None:
    sent = corrupted("bit_flip", [TEXT], ETag='"1"', Content_MD5="x", Digest="sha-256=x")
    assert {"etag", "content-md5", "digest"} <= sent.headers.keys()


# truncate, empty


@pytest.mark.parametrize(("share", "kept"), [(0.5, 50), (0.011, 1), (0.001, 0), (1.0, 99)])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_the_end_is_missing(share: float, kept: int, size: int) -> None:
    body = bytes(range(100))
    sent = corrupted("truncate", split(body, size), share=share, content_type="image/png")
    assert sent.body == body[:kept]
    assert sent.counters == COUNTED


def test_a_stream_ends_in_its_first_part() -> None:
    sent = corrupted("truncate", [b"abcd", b"efgh"], length=None)
    assert (sent.body, sent.is_cut, sent.counters) == (b"ab", False, COUNTED)


@pytest.mark.parametrize("length", [-1, None])
def test_nothing_is_left(length: int | None) -> None:
    sent = corrupted("empty", [b"abcd", b"efgh"], length=length)
    assert (sent.body, sent.headers.get("content-length", "0"), sent.counters) == (b"", "0", COUNTED)


# bit_flip


@pytest.mark.parametrize(("share", "expected"), [(0.01, 0.01), (0.5, 0.5), (1.0, 1.0)])
@pytest.mark.parametrize("size", [1000, 4096, 10_001, 100_000])
def test_one_bit_of_a_share_of_the_bytes_is_another_one(share: float, expected: float, size: int) -> None:
    body = bytes(i % 256 for i in range(100_000))
    sent = corrupted("bit_flip", split(body, size), share=share)
    differences = [one ^ other for one, other in zip(body, sent.body, strict=True) if one != other]
    assert len(differences) / len(body) == pytest.approx(expected, rel=0.05)
    assert all(each.bit_count() == 1 for each in differences)


def test_of_a_short_body_one_bit_at_least_is_another_one() -> None:
    for chance in range(50):
        assert corrupted("bit_flip", [b"ab"], share=0.0001, chance=chance / 50).body != b"ab"


def test_the_same_chance_has_the_same_body() -> None:
    for mode in MODES:
        assert corrupted(mode, [TEXT]).body == corrupted(mode, [TEXT]).body
    assert corrupted("bit_flip", [TEXT]).body != corrupted("bit_flip", [TEXT], chance=0.25).body


# malformed_json

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def is_json(text: bytes) -> bool:
    try:
        json.loads(text, strict=False)
    except ValueError:
        return False
    return True


@given(
    document=DOCUMENTS,
    ascii_only=st.booleans(),
    tail=st.sampled_from(["", "\n", " \r\n"]),
    size=st.integers(1, 40),
    share=st.floats(0.001, 1.0),
    is_stream=st.booleans(),
)
@example(document='\\"', ascii_only=True, tail="", size=1, share=0.4, is_stream=False)
@example(document={"a": ":5"}, ascii_only=True, tail="", size=40, share=0.3, is_stream=False)
@settings(deadline=None, max_examples=300)
def test_no_parser_takes_what_is_malformed(
    document: Any, tail: str, size: int, share: float, *, ascii_only: bool, is_stream: bool
) -> None:
    body = (json.dumps(document, ensure_ascii=ascii_only) + tail).encode()
    sent = corrupted("malformed_json", split(body, size), share=share, length=None if is_stream else -1)
    assert not is_json(sent.body)
    assert len(sent.body) == len(body)
    assert sent.counters == COUNTED
    if not is_stream:
        kept = min(int(len(body) * share), len(body.rstrip()) - 1)
        assert sent.body[:kept] == body[:kept]


def test_a_stream_is_passed_on_as_it_comes() -> None:
    sent = corrupted("malformed_json", [b'{"a": "b",', b'"c": 1}'], length=None)
    assert sent.pieces[:2] == [b'{"a": \'b",', b'"c": 1}']


# wrong_type


def test_values_have_other_types_and_objects_keep_their_members() -> None:
    sent = corrupted("wrong_type", split(TEXT + b"\n", 7), share=1.0)
    assert sent.body.endswith(b"\n")
    assert json.loads(sent.body) == {
        "id": "7",
        "name": 3,
        "tags": {"0": 1, "1": 1},
        "price": "1.5",
        "sold": "true",
        "maker": "null",
        "of": {"n": {"0": "1"}},
    }
    assert "content-length" not in sent.headers
    assert sent.counters == COUNTED


@given(document=DOCUMENTS, share=st.floats(0.001, 1.0))
@settings(deadline=None)
def test_it_is_json_still_and_other_json_unless_there_is_nothing_to_change(document: Any, share: float) -> None:
    sent = corrupted("wrong_type", [json.dumps(document).encode()], share=share)
    changed = json.loads(sent.body)
    assert (sent.counters == COUNTED) == (repr(changed) != repr(document))


def test_a_share_of_the_values_changes() -> None:
    sent = corrupted("wrong_type", [json.dumps({str(each): each for each in range(100)}).encode()], share=0.2)
    assert sum(isinstance(each, str) for each in json.loads(sent.body).values()) == 20


@pytest.mark.parametrize("depth", [100, 300, 900, 5000])
def test_json_that_is_too_deep_for_us_passes_as_it_is(depth: int) -> None:
    document = b"[" * depth + b"1" + b"]" * depth
    sent = corrupted("wrong_type", [document], share=1.0)
    assert bool(sent.counters) is (sent.body != document)
    assert not sent.is_cut


def test_lines_of_json_are_changed_one_by_one() -> None:
    lines = [b'{"a": 1}\n{"b"', b": 2}\n", b'{"c": 3}']
    sent = corrupted("wrong_type", lines, share=1.0, length=None, content_type="application/x-ndjson")
    assert [piece for piece in sent.pieces if piece] == [b'{"a":"1"}\n', b'{"b":"2"}\n', b'{"c":"3"}']


@pytest.mark.parametrize("body", [b"not json", b"{" * 100_000, b'["' + b"x" * 1_100_000 + b'"]'])
def test_what_is_no_json_or_too_long_passes(body: bytes) -> None:
    sent = corrupted("wrong_type", split(body, 300_000))
    assert (sent.body, sent.counters) == (body, {})


# Types and encodings


@pytest.mark.parametrize("mode", ["malformed_json", "wrong_type"])
@pytest.mark.parametrize("headers", [{"content_type": "text/html"}, {"Content_Encoding": "br"}, {"content_type": ""}])
def test_other_content_passes_untouched_and_is_not_counted(mode: Mode, headers: dict[str, str]) -> None:
    for wrong in (False, True):
        sent = corrupted(mode, [TEXT], wrong=wrong, **headers)
        assert (sent.body, sent.counters, sent.headers["content-length"]) == (TEXT, {}, str(len(TEXT)))
        assert not sent.is_cut


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/problem+json", "Text/JSON"])
def test_all_types_of_json_are_json(content_type: str) -> None:
    assert corrupted("wrong_type", [TEXT], content_type=content_type).counters == COUNTED


def raw_deflate(body: bytes) -> bytes:
    encoder = zlib.compressobj(wbits=-15)
    return encoder.compress(body) + encoder.flush()


CODECS: dict[str, tuple[str, Any, Any]] = {
    "gzip": ("gzip", gzip.compress, gzip.decompress),
    "gzip of several members": (
        "gzip",
        lambda body: gzip.compress(body[:100]) + gzip.compress(body[100:]),
        gzip.decompress,
    ),
    "deflate": ("deflate", zlib.compress, zlib.decompress),
    "deflate without a header": ("deflate", raw_deflate, lambda body: zlib.decompress(body, -15)),
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [1 << 20, 5])
def test_compressed_json_is_malformed_inside(codec: str, size: int) -> None:
    encoding, compress, decompress = CODECS[codec]
    sent = corrupted("malformed_json", split(compress(TEXT), size), Content_Encoding=encoding)
    plain = decompress(sent.body)
    assert len(plain) == len(TEXT)
    assert not is_json(plain)
    assert sent.headers["content-encoding"] == encoding
    assert "content-length" not in sent.headers
    assert json.loads(decompress(corrupted("wrong_type", [compress(TEXT)], Content_Encoding=encoding).body)) != DOCUMENT


def test_a_compressed_stream_stays_one() -> None:
    encoder, decoder = zlib.compressobj(wbits=31), zlib.decompressobj(31)
    parts = [encoder.compress(line) + encoder.flush(zlib.Z_SYNC_FLUSH) for line in (b'{"a": 1}\n', b'{"b": 2}\n')] + [
        encoder.flush()
    ]
    sent = corrupted(
        "wrong_type",
        parts,
        share=1.0,
        length=None,
        content_type="application/x-ndjson",
        Content_Encoding="gzip",
    )
    assert decoder.decompress(sent.pieces[0]) == b'{"a":"1"}\n'
    assert decoder.decompress(sent.pieces[1]) == b'{"b":"2"}\n'
