"""What development supplies: an embedded DynamoDB in a process of its own, a token, a banner, a calmer reloader."""
