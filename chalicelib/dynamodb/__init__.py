"""The table behind the ports: the only room, with `aws.py`, that knows DynamoDB."""

import logging

# At import pynamodb logs, as news, which settings file it did not find. The host's loggers stay as they are.
_settings_log = logging.getLogger("pynamodb.settings")
_was_disabled, _settings_log.disabled = _settings_log.disabled, True
import pynamodb.settings  # noqa: E402, F401

_settings_log.disabled = _was_disabled
