"""Completions for which the application need not be asked."""

from ..experiments.catalogue import installed


def known(incomplete: str) -> list[str]:
    """The experiments of this version."""
    return [name for name in installed() if name.startswith(incomplete)]
