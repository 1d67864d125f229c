"""What the operating system or TLS says where a call fails without an answer: one place for all client libraries."""

import errno
import socket
import ssl


def refused() -> OSError:
    return ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


def reset() -> OSError:
    return ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")


def not_resolved() -> socket.gaierror:
    return socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def not_trusted() -> OSError:
    reason = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired"
    return ssl.SSLCertVerificationError(1, reason)


def timed_out() -> OSError:
    return TimeoutError("timed out")
