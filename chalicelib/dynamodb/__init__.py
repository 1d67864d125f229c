"""The table behind the ports: the only room, with `local.py`, that knows DynamoDB."""
