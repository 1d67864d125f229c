"""moto's server over real HTTP, which remembers what reached it; and what clients of AWS need."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

TABLE, BUCKET = "orders", "invoices"
OF_CLIENTS = {
    "region_name": "eu-west-1",
    "aws_access_key_id": "testing",
    "aws_secret_access_key": "testing",
}


class AwsServer:
    """`seen` has each request that arrived: the operation where a header names it, otherwise method and path."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._application = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._count, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.address = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.address}"

    def _count(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")[2]
        self.seen.append(target or f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        answer: Iterable[bytes] = self._application(environ, start)
        return answer

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def aws_server() -> Iterator[AwsServer]:
    """With a table, and a bucket with an object of 100 bytes in it. Nothing else: what moto has is its process's."""
    server = AwsServer()
    try:
        moto_api_backend.reset()
        boto3.client("dynamodb", **options(server)).create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        s3 = boto3.client("s3", **options(server))
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        s3.put_object(Bucket=BUCKET, Key="1", Body=b"x" * 100)
        yield server
    finally:
        server.close()


def options(server: AwsServer) -> dict[str, Any]:
    """Of a client of boto3 or aiobotocore."""
    return {**OF_CLIENTS, "endpoint_url": server.url}
