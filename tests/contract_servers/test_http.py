"""The contract suite, on real servers with several processes and one table."""

from tests.contract.test_http import *  # noqa: F403
