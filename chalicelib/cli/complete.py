"""What completion offers where the application need not be asked."""

from ..experiments import EXPERIMENTS


def known(incomplete: str) -> list[str]:
    """The experiments of this version."""
    return [name for name in EXPERIMENTS if name.startswith(incomplete)]
