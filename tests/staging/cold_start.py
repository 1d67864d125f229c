"""One cold start, as Lambda makes it: a new process imports the handler of an unpacked package and answers a request.

`python cold_start.py <package folder> <when it was started, in epoch seconds>` prints the milliseconds since then.
"""

import importlib
import sys
import time
from types import SimpleNamespace

REQUEST = {
    "path": "/",
    "httpMethod": "GET",
    "headers": {},
    "multiValueHeaders": {},
    "queryStringParameters": None,
    "multiValueQueryStringParameters": None,
    "pathParameters": None,
    "stageVariables": None,
    "body": None,
    "isBase64Encoded": False,
    "requestContext": {"resourcePath": "/", "httpMethod": "GET", "identity": {"sourceIp": "127.0.0.1"}},
}

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    answer = importlib.import_module("app").app(REQUEST, SimpleNamespace())
    print((time.time() - float(sys.argv[2])) * 1000 if answer["statusCode"] == 200 else answer)
