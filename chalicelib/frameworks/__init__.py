"""One file a framework, thin, on the boundaries of WSGI and ASGI."""

FRAMEWORKS = ("chalice", "flask", "fastapi")


def check_application(app: object, expected: type, *, has_module: bool = False) -> None:
    """Raises TypeError for the application of another framework, ValueError if it has the module already."""
    if not isinstance(app, expected):
        raise TypeError(_wrong_framework(type(app), expected))
    if has_module:
        raise ValueError(
            "This application already has the module: ChaosExperiments was called with it before. Call it once for "
            "each application, with all options."
        )


def _wrong_framework(given: type, expected: type) -> str:
    """Where to import the class from that takes the application."""
    packages = [base.__module__.partition(".")[0] for base in given.__mro__]
    own = next((name for name in packages if name in FRAMEWORKS), None)
    remedy = f"Import ChaosExperiments from {__name__}.{own}." if own else f"Supported: {', '.join(FRAMEWORKS)}."
    return (
        f"This ChaosExperiments takes a {expected.__module__.partition('.')[0]} application; "
        f"got {given.__module__}.{given.__qualname__}. {remedy}"
    )
