"""The connection on which a request came: closed without an answer, or in the middle of one, as far as servers let us.

A client sees a reset before an answer, and a body that ends too early within one. The server goes on: to it the client
seems to be gone, which every server has to cope with. Another request on the same connection of HTTP/2 is not troubled.
"""

import io
import logging
import os
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import FrameType
from typing import Any, Final, Literal

from ..api.http import Response
from ..errors import InjectedDisconnect
from ..faults.base import Disconnect
from ..faults.disconnect import DROPPED, NOT_DROPPED
from ..injection.engine import InjectionResult
from ..settings import IN_LAMBDA

How = Literal["reset", "closed", "failed invocation", "answered"]
"""What a client, or a gateway, sees of it."""

log = logging.getLogger(__name__)

DEFECT = "Could not drop a connection"

CLOSED = ("reset", "closed")
FAILED_INVOCATION: Final = "failed invocation"

NO_STATUS = 0
"""The status that a dropped request is counted with: it is no error of the application, nor did it die."""

ANSWERED = 500
"""The status of the answer where the server does not let us drop the connection."""

LINGER_NOT = struct.pack("ii", 1, 0)
"""The value of SO_LINGER with which a close is a reset."""

SERVER_SOCKETS = ("gunicorn.socket", "werkzeug.socket")
"""Where gunicorn and Werkzeug put the socket."""

WAITRESS = "waitress.client_disconnected"
"""Where waitress puts a method of the channel, which has the socket."""

HANDLERS = {
    ("http.server", "BaseHTTPRequestHandler"),
    ("gevent.pywsgi", "WSGIHandler"),
    ("cheroot.server", "HTTPConnection"),
}
"""What serves a request on its own thread, and has its socket: `chalice local`, wsgiref, gevent's server, cheroot."""


TCP_INFO: Final[int] = getattr(socket, "TCP_INFO", 0)
CLOSED_STATES = (7, 8, 9)
"""CLOSE, CLOSE_WAIT and LAST_ACK, in the first byte of Linux' `tcp_info`."""

HTTP_1_0 = "HTTP/1.0"
"""The version in which the end of a body of unknown length is that of its connection."""


OF_THE_GATEWAY = {"message": "Internal server error"}
"""What API Gateway answers, with 502, where an invocation fails."""


def unanswered() -> Response:
    """What the application's own middleware sees instead of an answer, and the client where nothing can be dropped."""
    if IN_LAMBDA in os.environ:
        return Response(502, OF_THE_GATEWAY, drops_connection=True)
    message = "Chaos experiment: the connection was to be dropped, which this server does not allow"
    details = [{"connection": f"answered {ANSWERED}"}]
    content = {"error": True, "error_message": message, "code": "injected_disconnect", "details": details}
    return Response(ANSWERED, {**content, "resultset": {}}, drops_connection=True)


def note(result: InjectionResult, how: How) -> int:
    """Note what became of the connection. The status that the request is counted with."""
    dropped = how != "answered"
    for hit in result.hits:
        if isinstance(hit.applied.outcome, Disconnect):
            shown = how if dropped else f"answered {ANSWERED}"
            hit.applied.details = {**hit.applied.details, "connection": shown}
            if not dropped:
                counters = {name: count for name, count in hit.applied.counters.items() if name != DROPPED}
                hit.applied.counters = {**counters, NOT_DROPPED: 1}
    return NO_STATUS if dropped else ANSWERED


# On a request's own thread


def reset(environ: Mapping[str, Any]) -> How:
    """Close the connection before its answer: what the server sends now gets nowhere.

    `answered` where that cannot be; a `failed invocation` where InjectedDisconnect is to be raised.
    """
    if environ.get("HTTP_VERSION") == "2":  # gunicorn's: other requests are on the same connection
        return "answered"
    try:
        if uwsgi := _uwsgi():
            return _reset_of_uwsgi(uwsgi)
        sock = _socket(environ)
        return _reset_of_handler() if sock is None else _reset_socket(sock)
    except Exception:
        log.exception(DEFECT)
        return "answered"


def _reset_of_handler() -> How:
    """For a server that says nothing of its connection but serves it on this thread."""
    handler = _handler()
    if handler is None:
        return FAILED_INVOCATION if IN_LAMBDA in os.environ else "answered"
    how = _reset_socket(_socket_of(handler))
    handler.close_connection, handler.wfile = True, io.BytesIO()
    return how


def is_client_gone(environ: Mapping[str, Any]) -> bool:
    """Whether the client has closed the connection, as far as that shows."""
    uwsgi, handler = _uwsgi(), _handler()
    if uwsgi:
        return is_closed(uwsgi.connection_fd())
    sock = _socket(environ) if handler is None else _socket_of(handler)
    return sock is not None and is_closed(sock.fileno())


def is_closed(number: int) -> bool:
    """Whether the other side of a socket has closed it. Nothing is read; systems other than Linux do not say."""
    try:
        with socket.socket(fileno=os.dup(number)) as sock:
            return sock.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 1)[0] in CLOSED_STATES if TCP_INFO else False
    except OSError:  # it is closed, or none of TCP
        return False


def cut(environ: Mapping[str, Any]) -> None:
    """Close the connection in the middle of an answer, when what was sent of it is on its way.

    Raises InjectedDisconnect, or what the server has of its own for a client that is gone. Where it returns, the
    server sends nothing more.
    """
    if environ.get("HTTP_VERSION") == "2":
        raise InjectedDisconnect
    if uwsgi := _uwsgi():
        _reset_of_uwsgi(uwsgi)  # without a length, a mere close would be the proper end of a body
        return
    if channel := getattr(environ.get(WAITRESS), "__self__", None):
        raise _gone_for_waitress(channel)
    handler = _handler()
    sock = _socket(environ) if handler is None else _socket_of(handler)
    if sock is not None:
        versions = (environ.get("SERVER_PROTOCOL"), getattr(handler, "protocol_version", None))
        _close_socket(sock, as_reset=HTTP_1_0 in versions)
    raise InjectedDisconnect


def cut_whole(most: int) -> bool:
    """Close the connection when so many bytes of the body are sent, of an answer that its server gets as a whole.

    Whether that is possible; where it is not, the invocation has to fail.
    """
    handler = _handler()
    if handler is not None:
        handler.wfile, handler.close_connection = _CutFile(handler, most), True
    return handler is not None


class _CutFile(io.RawIOBase):
    """What a server of the standard library writes to: the headers, and then the body."""

    def __init__(self, handler: Any, most: int) -> None:  # noqa: ANN401 - of `HANDLERS`
        self._file = handler.wfile
        self._connection = handler.connection
        self._left = most
        self._has_headers = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - whatever is bytes
        if not self._has_headers:
            self._has_headers = True
            self._file.write(data)
        elif self._left:
            self._file.write(data[: self._left])
            self._left = max(0, self._left - len(data))
            if not self._left:
                self._file.flush()
                _close_socket(self._connection, as_reset=False)
        return len(data)


def _socket(environ: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the standard library's, or gevent's
    found = next((environ[name] for name in SERVER_SOCKETS if environ.get(name) is not None), None)
    return found or getattr(getattr(environ.get(WAITRESS), "__self__", None), "socket", None)


def _reset_socket(sock: Any) -> How:  # noqa: ANN401 - as above
    """The server keeps a socket of the same number, whose other side is gone: so it finds the client gone."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
    try:
        _replace(sock.fileno())
    except OSError:  # no more descriptors
        sock.shutdown(socket.SHUT_RDWR)
        return "closed"
    return _seen_by(sock.family)


def _replace(number: int) -> None:
    """Close a socket, whose number becomes that of another one."""
    ours, other = socket.socketpair()
    other.close()
    with ours:
        os.dup2(ours.fileno(), number, inheritable=False)


def _seen_by(family: int) -> How:
    return "reset" if family in (socket.AF_INET, socket.AF_INET6) else "closed"


def _close_socket(sock: Any, *, as_reset: bool) -> None:  # noqa: ANN401 - as above
    """`as_reset` where a mere close would be the proper end of a body."""
    with suppress(OSError):
        if as_reset:
            _reset_socket(sock)
        else:
            sock.shutdown(socket.SHUT_RDWR)


def _uwsgi() -> Any:  # noqa: ANN401 - a module that is there in its processes only
    return sys.modules.get("uwsgi") if hasattr(sys.modules.get("uwsgi"), "connection_fd") else None


def _reset_of_uwsgi(uwsgi: Any) -> How:  # noqa: ANN401 - as above
    """Its own `disconnect` frees the number, which another thread may get, before the answer is written to it."""
    number = uwsgi.connection_fd()
    with socket.socket(fileno=os.dup(number)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        family = sock.family
    _replace(number)
    return _seen_by(family)


def _gone_for_waitress(channel: Any) -> Exception:  # noqa: ANN401 - waitress'
    """Its own exception: what it has buffered is sent, and then the connection closed."""
    gone: type[Exception] = getattr(sys.modules[type(channel).__module__], "ClientDisconnected", InjectedDisconnect)
    return gone()


def _socket_of(handler: Any) -> Any:  # noqa: ANN401 - of one of `HANDLERS`
    return getattr(handler, "connection", None) or handler.socket


def _handler() -> Any:  # noqa: ANN401 - of one of `HANDLERS`
    for frame in frames():
        found = frame.f_locals.get("self")
        if any((base.__module__, base.__name__) in HANDLERS for base in type(found).__mro__):
            return found
    return None


def frames() -> Iterator[FrameType]:
    """From the caller's outwards; of a coroutine those of whoever awaits it, in the same task."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - there is no public way
    while frame := frame.f_back if frame else None:
        yield frame
