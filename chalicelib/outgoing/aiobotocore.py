"""aiobotocore: botocore on an event loop, by aiohttp or httpx. One call is one attempt of a client's retries."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial, wraps
from inspect import isawaitable
from typing import Any

from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.endpoint import AioEndpoint

from ..faults.base import Failure
from ..injection.call import OutgoingCall
from ..injection.loops import AnyLoop
from .aws_answers import answer_of
from .botocore import ERRORS, FAULTS, described, noting, operation_of, raise_error, status_of, waits
from .installation import Patch
from .pace import Pace
from .passing import is_to_be_asked, send_on_loop

CLIENT = "aiobotocore"

LOOP = AnyLoop()


def patches() -> Iterator[Patch]:
    yield Patch(AioEndpoint, "_do_get_response", noting)
    yield Patch(AioEndpoint, "_send", _gated)


def _gated(original: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    @wraps(original)
    async def _send(self: Any, request: Any) -> Any:
        operation = operation_of(request)
        if operation is None or not is_to_be_asked():
            return await original(self, request)
        call = described(CLIENT, FAULTS, self, operation, request)
        fail = partial(_fail, operation, request, call)
        return await send_on_loop(call, partial(original, self, request), fail, status_of)

    return _send


async def _fail(
    operation: Any, request: Any, call: OutgoingCall, failure: Failure, proceed: Callable[[], Awaitable[Any]]
) -> Any:
    way = failure.way
    if way == "slow":
        return await _slowed(await proceed(), request, Pace(failure, call.timeout_seconds))
    if way == "lost_reply":
        await _discard((await proceed()).raw)
    if way in ERRORS:
        raise_error(way, request)
    status, headers, body = answer_of(failure, operation, request.method)
    response = AioAWSResponse(request.url, status, headers, _Raw(request.url, body))
    response._content = body  # noqa: SLF001 - where it remembers what it has read
    return response


async def _discard(raw: Any) -> None:
    """The connection of an answer that nobody reads is closed."""
    closed = (raw.aclose if hasattr(raw, "aclose") else raw.close)()
    if isawaitable(closed):
        await closed


class _Raw:
    """What a body is read from, as from a response of aiohttp."""

    def __init__(self, url: str, body: bytes) -> None:
        self.url = url
        self.content = self
        self._body = body

    def at_eof(self) -> bool:
        return not self._body

    async def read(self, size: int = -1) -> bytes:
        end = len(self._body) if size < 0 else size
        data, self._body = self._body[:end], self._body[end:]
        return data

    def close(self) -> None:
        self._body = b""


async def _slowed(response: Any, request: Any, pace: Pace) -> Any:
    async def wait(size: int) -> None:
        for seconds in waits(pace, size, request):
            await LOOP.sleep(seconds)

    if not request.stream_output:
        await wait(len(await response.content))
        return response
    raw = response.raw
    if hasattr(raw, "aiter_raw"):
        raw.aiter_raw = partial(_slow_pieces, raw.aiter_raw, wait)
    else:
        raw.content = _SlowContent(raw.content, wait)
    return response


async def _slow_pieces(
    pieces: Callable[..., AsyncIterator[bytes]], wait: Callable[[int], Awaitable[None]], *args: Any, **kwargs: Any
) -> AsyncIterator[bytes]:
    """Of a response of httpx."""
    async for data in pieces(*args, **kwargs):
        await wait(len(data))
        yield data


class _SlowContent:
    """The content of a response of aiohttp, which comes slowly, however it is read."""

    def __init__(self, content: Any, wait: Callable[[int], Awaitable[None]]) -> None:
        self._content = content
        self._wait = wait

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def read(self, *args: Any) -> bytes:
        data: bytes = await self._content.read(*args)
        await self._wait(len(data))
        return data

    async def iter_chunks(self) -> AsyncIterator[tuple[bytes, bool]]:
        """As streams of events are read."""
        async for data, is_end in self._content.iter_chunks():
            await self._wait(len(data))
            yield data, is_end
