"""What API Gateway sends to a function."""

from typing import Any


def rest_event(**context: Any) -> dict[str, Any]:
    """What API Gateway sends for a REST API."""
    return {
        "resource": "/orders",
        "path": "/orders",
        "httpMethod": "GET",
        "headers": {"Host": "shop.example"},
        "multiValueHeaders": {"Host": ["shop.example"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "body": None,
        "isBase64Encoded": False,
        "requestContext": {
            "resourcePath": "/orders",
            "httpMethod": "GET",
            "path": "/api/orders",
            "stage": "api",
            "identity": {"sourceIp": "192.0.2.1"},
            **context,
        },
    }
