"""Chaos experiments: faults that an operator starts over HTTP and every process of an application feels."""

__version__ = "0.1.0"
