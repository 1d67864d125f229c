"""Logs as JSON, one object a line, where Lambda keeps them: a fixed set of fields, so that nothing else gets in."""

import json
import logging
import sys
from datetime import UTC, datetime

FIELDS = ("request_id", "run_id", "caller", "source", "status", "code")


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        content = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name in FIELDS if (value := getattr(record, name, None)) not in (None, "")},
        }
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return json.dumps(content)


def log_as_json() -> None:
    """The package's own logs alone; the application's stay as they are."""
    package = logging.getLogger(__package__)
    if not any(isinstance(handler.formatter, JsonFormatter) for handler in package.handlers):
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(JsonFormatter())
        package.addHandler(handler)
        package.setLevel(logging.INFO)
        package.propagate = False
