"""Chaos experiments: faults that an operator starts over HTTP and every process of an application feels."""
