"""Corrupt the body of the application's answer, as it passes."""

import json
import random
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from .base import DISCONNECT, AnswerFault, Applied, Change, Counter, Headers, HitCall, Piece

CORRUPTED = "corrupted_answers"
"""Counter: answers of which something else was sent."""

Mode = Literal["truncate", "malformed_json", "wrong_type", "empty", "bit_flip"]

MOST_BUFFERED_BYTES = 1024 * 1024
"""How much JSON is held back to change its types. Of a longer document nothing is changed."""

PATTERN_BYTES = 4096
"""After how many bytes the same bits flip again."""

JSON = re.compile(r"application/([^;\s]+\+)?json\b|text/json\b", re.IGNORECASE)
LINES_OF_JSON = re.compile(r"application/(x-)?(ndjson|jsonl|jsonlines|json-lines)\b", re.IGNORECASE)
"""One document on each line."""

WINDOW_BITS: Final[Mapping[str, int]] = {"gzip": 31, "x-gzip": 31, "deflate": 15}
GZIP = b"\x1f\x8b"
"""What each member of a gzip begins with: there may be several, one after the other."""

RAW_DEFLATE = -15
"""What some servers send as deflate, without a header of zlib."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What is known of an answer when its body begins."""

    length: int | None
    """None of a stream."""
    content_type: str
    encoding: str

    @classmethod
    def of(cls, headers: Headers) -> "Answered":
        found = {name.lower(): value.strip() for name, value in headers}
        length = found.get("content-length", "")
        encoding = found.get("content-encoding", "").lower()
        return cls(int(length) if length.isdecimal() else None, found.get("content-type", ""), encoding)

    @property
    def is_json(self) -> bool:
        return bool(JSON.match(self.content_type)) or self.is_lines

    @property
    def is_lines(self) -> bool:
        return bool(LINES_OF_JSON.match(self.content_type))


class Corruption(ABC):
    """What one mode does to one body. `length`: how long it is then; None where nobody knows."""

    length: int | None = None
    is_over = False
    """Whether the rest of a stream is not sent."""
    has_changed = False

    @abstractmethod
    def part(self, data: bytes) -> Iterable[bytes]: ...

    def end(self) -> Iterable[bytes]:
        return ()


class Truncated(Corruption):
    """The first part of it, without at least the last byte. Of a stream: a part of its first part, and its end."""

    def __init__(self, answered: Answered, share: float) -> None:
        self._share = share
        self._is_stream = answered.length is None
        self.length = None if answered.length is None else _kept(answered.length, share)
        self._left = self.length

    def part(self, data: bytes) -> Iterable[bytes]:
        if self._left is None:
            self._left, self.is_over = _kept(len(data), self._share), True
        kept = data[: self._left]
        self.has_changed |= len(kept) < len(data)
        self._left -= len(kept)
        return (kept,)


def _kept(length: int, share: float) -> int:
    return max(min(int(length * share), length - 1), 0)


class Flipped(Corruption):
    """One bit is another one, in a share of the bytes and in at least one."""

    def __init__(self, answered: Answered, share: float, rng: random.Random) -> None:
        self.length = answered.length
        self._rng = rng
        number = max(round(PATTERN_BYTES * share), 1)
        self._pattern = bytearray(PATTERN_BYTES)
        for place in rng.sample(range(PATTERN_BYTES), number):
            self._pattern[place] = 1 << rng.randrange(8)
        self._passed = 0

    def part(self, data: bytes) -> Iterable[bytes]:
        start = self._passed % PATTERN_BYTES
        self._passed += len(data)
        repeated = self._pattern * ((start + len(data)) // PATTERN_BYTES + 1)
        mask = bytearray(repeated[start : start + len(data)])
        if not self.has_changed and not any(mask):
            mask[self._rng.randrange(len(mask))] = 1 << self._rng.randrange(8)
        self.has_changed = True
        return ((int.from_bytes(data) ^ int.from_bytes(mask)).to_bytes(len(data)),)


class Malformed(Corruption):
    """A quote becomes an apostrophe, from some byte on, so that no parser takes it; or its last byte a comma.

    A document of JSON has an even number of quotes, and no escaped apostrophes.
    """

    def __init__(self, answered: Answered, share: float) -> None:
        self.length = answered.length
        self._share = share
        self._before = None if answered.length is None else _kept(answered.length, share)
        """How many bytes stay as they are; of a stream, of its first part."""
        self._held = b""
        """The last byte that is no blank, which is changed if nothing else is."""

    def part(self, data: bytes) -> Iterable[bytes]:
        if self.has_changed:
            return (data,)
        if self._before is None:
            self._before = _kept(len(data), self._share)
        data = self._held + data
        self._held = b""
        found = data.find(b'"', self._before)
        if found >= 0:
            self.has_changed = True
            return (data[:found] + b"'" + data[found + 1 :],)
        end = max(len(data.rstrip()) - 1, 0)
        self._held = data[end:]
        self._before = max(self._before - end, 0)
        return (data[:end],)

    def end(self) -> Iterable[bytes]:
        held, self._held = self._held, b""
        if not held.strip():
            return (held,)
        if held[:1] == b",":  # it was no JSON before
            return (held,)
        self.has_changed = True
        return (b"," + held[1:],)


class Retyped(Corruption):
    """Numbers, true, false and null are texts, texts are numbers, and lists are objects: a share of them, at least one.

    Objects stay what they are, so that their members are found. A document, or a line, is held back until it is whole.
    """

    def __init__(self, answered: Answered, share: float, rng: random.Random) -> None:
        self._share = share
        self._rng = rng
        self._is_lines = answered.is_lines
        self._held = bytearray()
        self._is_too_long = False

    def part(self, data: bytes) -> Iterable[bytes]:
        if self._is_too_long:
            return (data,)
        self._held += data
        given = bytearray()
        while self._is_lines and (end := self._held.find(b"\n") + 1):
            given += self._retyped(bytes(self._held[:end]))
            del self._held[:end]
        if len(self._held) > MOST_BUFFERED_BYTES:
            self._is_too_long = True
            given += self._held
            self._held.clear()
        return (bytes(given),)

    def end(self) -> Iterable[bytes]:
        return (self._retyped(bytes(self._held)),)

    def _retyped(self, document: bytes) -> bytes:
        try:
            content = json.loads(document)
            number = sum(1 for _ in _values(content))
            if not number:
                return document
            chosen = set(self._rng.sample(range(number), max(round(number * self._share), 1)))
            changed = json.dumps(
                _retype(content, iter(range(number)), chosen), ensure_ascii=False, separators=(",", ":")
            )
        except (ValueError, RecursionError):  # it is no JSON, or too deep
            return document
        self.has_changed = True
        ends = document[len(document.rstrip()) :]
        return changed.encode("utf-8", "surrogatepass") + ends


def _values(content: Any) -> Iterator[Any]:  # noqa: ANN401 - JSON
    """All that is no object."""
    if not isinstance(content, dict):
        yield content
    if isinstance(content, dict | list):
        for each in content.values() if isinstance(content, dict) else content:
            yield from _values(each)


def _retype(content: Any, numbers: Iterator[int], chosen: set[int]) -> Any:  # noqa: ANN401 - JSON
    """In the order of `_values`."""
    if isinstance(content, dict):
        return {name: _retype(each, numbers, chosen) for name, each in content.items()}
    is_chosen = next(numbers) in chosen
    if isinstance(content, list):
        changed = [_retype(each, numbers, chosen) for each in content]
        return {str(place): each for place, each in enumerate(changed)} if is_chosen else changed
    if not is_chosen:
        return content
    return len(content) if isinstance(content, str) else json.dumps(content)


class _Codec(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class Recoded(Corruption):
    """The body inside a compressed one. It is compressed again, so that a client can read it."""

    def __init__(self, inner: Corruption, encoding: str) -> None:
        self._inner = inner
        self._bits = WINDOW_BITS[encoding]
        self._decoder: _Codec | None = None
        self._encoder: Any = None

    @property
    def has_changed(self) -> bool:  # type: ignore[override]
        return self._inner.has_changed

    def part(self, data: bytes) -> Iterable[bytes]:
        if self._decoder is None:
            bits = self._bits if self._bits != WINDOW_BITS["deflate"] or _has_header(data) else RAW_DEFLATE
            self._decoder = zlib.decompressobj(bits)
            self._encoder = zlib.compressobj(wbits=bits)
        plain = self._plain(self._decoder, data)
        for each in self._inner.part(plain) if plain else ():
            if each:
                yield self._encoder.compress(each) + self._encoder.flush(zlib.Z_SYNC_FLUSH)

    def _plain(self, decoder: _Codec, data: bytes) -> bytes:
        plain = decoder.decompress(data)
        while decoder.eof and decoder.unused_data.startswith(GZIP):
            rest = decoder.unused_data
            self._decoder = decoder = zlib.decompressobj(self._bits)
            plain += decoder.decompress(rest)
        return plain

    def end(self) -> Iterable[bytes]:
        if self._encoder is not None:
            yield from (self._encoder.compress(each) for each in self._inner.end())
            yield self._encoder.flush()


def _has_header(data: bytes) -> bool:
    """Whether it begins as zlib has it."""
    return len(data) > 1 and data[0] & 15 == zlib.DEFLATED and int.from_bytes(data[:2]) % 31 == 0


def _in_json(answered: Answered, make: Callable[[Answered], Corruption]) -> Corruption | None:
    """For JSON alone, compressed by what the standard library has, or not at all."""
    if not answered.is_json:
        return None
    if answered.encoding in {"", "identity"}:
        return make(answered)
    if answered.encoding not in WINDOW_BITS:
        return None
    return Recoded(make(Answered(None, answered.content_type, "")), answered.encoding)


Make = Callable[[Answered, float, random.Random], Corruption | None]

MODES: Mapping[Mode, Make] = {
    "truncate": lambda answered, share, _rng: Truncated(answered, share),
    "empty": lambda answered, _share, _rng: Truncated(answered, 0.0),
    "bit_flip": Flipped,
    "malformed_json": lambda answered, share, _rng: _in_json(answered, lambda each: Malformed(each, share)),
    "wrong_type": lambda answered, share, rng: _in_json(answered, lambda each: Retyped(each, share, rng)),
}


class Corrupted(Change):
    """The body is another one, and its length fits; or not, and then the connection breaks off before its end."""

    def __init__(self, mode: Mode, share: float, rng: random.Random, *, is_length_wrong: bool) -> None:
        self._make = MODES[mode]
        self._share = share
        self._rng = rng
        self._is_length_wrong = is_length_wrong
        self._inner: Corruption | None = None
        self._left: int | None = None
        """How much of it may be sent, where Content-Length is wrong: less than that says."""

    def begin(self, status: int, headers: Headers) -> tuple[int, Headers]:
        answered = Answered.of(headers)
        if answered.length != 0:
            self._inner = self._make(answered, self._share, self._rng)
        self.replaces = self._inner is not None
        if self._inner is None:
            return status, headers
        if self._is_length_wrong:
            self._left = None if answered.length is None else answered.length - 1
            return status, headers
        kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
        known = self._inner.length is not None
        return status, [*kept, ("Content-Length", str(self._inner.length))] if known else kept

    def part(self, data: bytes) -> Iterable[Piece]:
        return (data,) if self._inner is None else self._sent(self._inner, self._inner.part(data))

    def _sent(self, inner: Corruption, pieces: Iterable[bytes]) -> Iterator[Piece]:
        for piece in pieces:
            yield piece[: self._left]
            if self._left is not None:
                self._left -= min(len(piece), self._left)
        if inner.is_over and self._is_length_wrong:
            yield DISCONNECT
        self.is_over = inner.is_over

    def end(self) -> Iterable[Piece]:
        if self._inner is not None:
            yield from self._sent(self._inner, self._inner.end())
            if self._is_length_wrong:
                yield DISCONNECT

    @property
    def counters(self) -> Mapping[str, int]:
        return {CORRUPTED: int(self._inner is not None and self._inner.has_changed)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrupt(AnswerFault):
    """Corrupt the body of the application's answer. `percentage_of_body` is 0 to 1, and means what its mode says."""

    mode: Mode
    body_share: float
    is_length_wrong: bool = False
    kind = "corrupt"
    order = 80
    counters = (Counter(name=CORRUPTED, title="Corrupted answers", unit="requests"),)

    def apply(self, call: HitCall) -> Applied:
        rng = random.Random(call.chance())  # noqa: S311 - so that a seed has the same answers
        change = Corrupted(self.mode, self.body_share, rng, is_length_wrong=self.is_length_wrong)
        return Applied(details={"mode": self.mode}, change=change)
