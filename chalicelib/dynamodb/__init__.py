"""The table behind the ports: the only room, with `local.py`, that knows DynamoDB."""

import logging

logging.getLogger("pynamodb").setLevel(logging.WARNING)  # it tells at import which settings files it did not find
