from chalicelib import errors

PUBLISHED = {
    "InvalidJson": ("invalid_json", 400),
    "MissingParameter": ("missing_parameter", 400),
    "InvalidParameters": ("invalid_parameters", 400),
    "Unauthenticated": ("unauthenticated", 401),
    "Forbidden": ("forbidden", 403),
    "UnknownExperiment": ("unknown_experiment", 404),
    "NotRunning": ("not_running", 404),
    "UnknownEndpoint": ("unknown_endpoint", 404),
    "UnknownToken": ("unknown_token", 404),
    "AlreadyRunning": ("already_running", 409),
    "BodyTooLarge": ("body_too_large", 413),
    "UnsupportedMediaType": ("unsupported_media_type", 415),
    "InternalError": ("internal_error", 500),
    "StoreUnavailable": ("store_unavailable", 503),
    "ModuleOff": ("module_off", 503),
    "Misconfigured": ("misconfigured", 503),
}


def test_codes_and_statuses_are_a_contract() -> None:
    assert {kind.__name__: (kind.code, kind.status) for kind in errors.ChaosError.__subclasses__()} == PUBLISHED
