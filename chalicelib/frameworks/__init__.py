"""One file a framework: it translates, nothing else."""

FRAMEWORKS = ("chalice", "flask", "fastapi")


def check_application(app: object, expected: type) -> None:
    """Raises TypeError for the application of another framework, with where to import from for that one."""
    if isinstance(app, expected):
        return
    given = type(app)
    packages = [base.__module__.partition(".")[0] for base in given.__mro__]
    own = next((name for name in packages if name in FRAMEWORKS), None)
    remedy = f"Import ChaosExperiments from {__name__}.{own}." if own else f"Supported: {', '.join(FRAMEWORKS)}."
    raise TypeError(
        f"This ChaosExperiments takes a {expected.__module__.partition('.')[0]} application; "
        f"got {given.__module__}.{given.__qualname__}. {remedy}"
    )
