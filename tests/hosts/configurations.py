"""What hosts configure for all of their routes, and so, by mistake, for the control plane."""

from tests.hosts.serving import Host, hypercorn, uvicorn

SESSION = {"X-Session": "ada"}
OF_THE_SHOP = {"Host": "shop.example"}

FLASK = {
    "plain": Host("flask", "plain"),
    "log-in": Host("flask", "log_in", SESSION),
    "log-in added later": Host("flask", "log_in_added_later", SESSION),
    "log-in of a blueprint": Host("flask", "log_in_of_a_blueprint", SESSION),
    "log-in around the application": Host("flask", "log_in_around_the_application", SESSION),
    "hook that raises": Host("flask", "hook_that_raises", SESSION),
    "CSRF protection": Host("flask", "csrf"),
    "catch-all": Host("flask", "catch_all"),
    "host_matching": Host("flask", "host_matching", OF_THE_SHOP),
    "subdomain_matching": Host("flask", "subdomain_matching", {"Host": "www.shop.example"}),
    "slashes": Host("flask", "slashes"),
    "TRUSTED_HOSTS": Host("flask", "trusted_hosts", OF_THE_SHOP),
    "MAX_CONTENT_LENGTH": Host("flask", "small_bodies"),
    "url_value_preprocessor": Host("flask", "language_in_each_path"),
    "APPLICATION_ROOT": Host("flask", "application_root", base="/shop"),
    "broken after_request": Host("flask", "broken_after_request", status=500),
    "broken teardown": Host("flask", "broken_teardown"),
}

FASTAPI = {
    "plain": Host("fastapi", "plain"),
    "log-in": Host("fastapi", "log_in", SESSION, refuses_before_the_route=False),  # a dependency of each route
    "log-in middleware": Host("fastapi", "log_in_middleware", SESSION),
    "log-in middleware added later": Host("fastapi", "log_in_middleware_added_later", SESSION),
    "middleware that raises": Host("fastapi", "middleware_that_raises", SESSION),
    "TrustedHostMiddleware": Host("fastapi", "trusted_hosts", OF_THE_SHOP),
    "HTTPSRedirectMiddleware": Host("fastapi", "https_only", {"X-Forwarded-Proto": "https"}),
    "unique ids": Host("fastapi", "unique_ids"),
    "single page before": Host("fastapi", "single_page_before"),
    "single page after": Host("fastapi", "single_page_after"),
    "catch-all before": Host("fastapi", "catch_all_before"),
    "catch-all after": Host("fastapi", "catch_all_after"),
    "no redirects": Host("fastapi", "no_redirects"),
    "root_path": Host("fastapi", "root_path"),
    "root_path of the server": Host(
        "fastapi", "plain", command=uvicorn("tests.hosts.apps.fastapi_hosts", "--root-path", "/shop")
    ),
    "mounted": Host("fastapi", "mounted", base="/shop"),
    "trio": Host("fastapi", "plain", command=hypercorn("tests.hosts.apps.fastapi_hosts", "--worker-class", "trio")),
}

CHALICE = {
    "binary types": Host("chalice", "binary_types"),
    "plain": Host("chalice", "plain"),
    "log-in": Host("chalice", "log_in", SESSION),
    "log-in added later": Host("chalice", "log_in_added_later", SESSION),
    "middleware that raises": Host("chalice", "middleware_that_raises", SESSION),
}

HOSTS = {f"{host.framework}, {name}": host for hosts in (FLASK, FASTAPI, CHALICE) for name, host in hosts.items()}
