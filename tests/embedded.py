"""The embedded DynamoDB, in this process. As a program: it prints its URL, and serves until its input ends."""

from chalicelib.local import EmbeddedDynamoDB

__all__ = ["EmbeddedDynamoDB"]

if __name__ == "__main__":
    print(EmbeddedDynamoDB().url, flush=True)
    input()
