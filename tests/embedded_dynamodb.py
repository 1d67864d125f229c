"""The embedded DynamoDB for a session of tests, in a process of its own.

Not on threads of the session, each of which coverage would trace: the tests need not wait for it, nor for each other.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SERVE = """
import sys
from chalicelib.development.server import EmbeddedDynamoDB

server = EmbeddedDynamoDB().start()
print(server.url, flush=True)
sys.stdin.read()
server.stop()
"""


@contextmanager
def embedded_dynamodb() -> Iterator[str]:
    """Its address. It ends with this process, however that ends."""
    command = [sys.executable, "-c", SERVE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            url = process.stdout.readline().strip()
            assert url, "The embedded DynamoDB did not start."
            yield url
        finally:
            process.stdin.close()
