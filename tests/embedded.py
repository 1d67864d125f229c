"""The embedded DynamoDB, as a program: it prints its URL, and serves until its input ends."""

from chalicelib.development.server import EmbeddedDynamoDB

if __name__ == "__main__":
    print(EmbeddedDynamoDB().start().url, flush=True)
    input()
