"""What the findings about retries and time-outs mean, and what to change, in words."""

from collections.abc import Mapping

EXPLANATIONS: Mapping[str, str] = {
    "no_timeout": "{calls} had no time-out: while the dependency does not answer, each occupies what serves it.",
    "waits_too_long": "{calls} would have waited, with time-outs and retries, for longer than the request may take: "
    "the request is ended from outside before the application can answer.",
    "write_repeated": "{calls} that may do harm when made twice came again after nobody knew whether it had been done.",
    "retry_after_ignored": "{calls} came again sooner than the answer's Retry-After asked for.",
    "no_backoff": "{calls} came again at once, at least twice in a row: a dependency that fails gets more to do.",
    "no_jitter": "After a failure {calls} came again after the same pause each time: all processes come back at once.",
    "retry_amplification": "{calls} came {attempts} times in all, {factor} times each, where one would have done "
    "without the fault: the dependency gets the most to do when it can do the least.",
}

REQUESTS = "requests.get(..., timeout=(3, 10)); of urllib3, timeout=urllib3.Timeout(connect=3, read=10)"
HTTPX = "{client}.Client(timeout={client}.Timeout(10, connect=3)), instead of timeout=None"
AIOHTTP = "aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10, connect=3))"
BOTOCORE = "Config(connect_timeout=3, read_timeout=10)"
RETRY = "Retry(total=2, backoff_factor=0.5, backoff_jitter=0.5)"
STANDARD = 'Config(retries={"mode": "standard"})'

TIMEOUTS: Mapping[str, str] = {
    "urllib3": REQUESTS,
    "httpx": HTTPX,
    "httpx2": HTTPX,
    "aiohttp": AIOHTTP,
    "botocore": BOTOCORE,
    "aiobotocore": f"Aio{BOTOCORE}",
    "redis": "redis.Redis(socket_connect_timeout=1, socket_timeout=3)",
}
"""How a client is given a time-out. No others are audited: of a connection alone, nobody knows what it is for."""

BACKOFFS: Mapping[str, str] = {
    "urllib3": f"mount HTTPAdapter(max_retries={RETRY})",
    "botocore": STANDARD,
    "aiobotocore": f"Aio{STANDARD}",
    "redis": "redis.Redis(retry=Retry(ExponentialWithJitterBackoff(), 2))",
}
"""How a client is made to retry with pauses that grow and differ."""

BACKOFF = "pause between attempts for random.uniform(0, min(10, 0.5 * 2 ** attempt)) seconds"

REMEDIES: Mapping[str, str] = {
    "no_timeout": "Set one: {timeout}.",
    "waits_too_long": "Let time-outs and retries together end well before the request must: {timeout}, and fewer "
    "attempts.",
    "write_repeated": "Send a key with which the service recognises a repetition (Idempotency-Key, a client token, a "
    "condition), or do not repeat the write after a time-out or a lost answer.",
    "retry_after_ignored": "Wait for as long as Retry-After says before the next attempt{retry_after}.",
    "no_backoff": "Let pauses grow, and differ by chance: {backoff}.",
    "no_jitter": "Let pauses differ by chance: {backoff}.",
    "retry_amplification": "Retry in one place only, at most twice, and stop: turn off either the client's retries or "
    "those around it{one}.",
}

RETRY_AFTER: Mapping[str, str] = {
    "urllib3": ": Retry(respect_retry_after_header=True) does, in an HTTPAdapter",
}

ONE: Mapping[str, str] = {
    "urllib3": " (HTTPAdapter(max_retries=0))",
    "botocore": ' (Config(retries={"mode": "standard", "total_max_attempts": 3}))',
    "aiobotocore": ' (AioConfig(retries={"mode": "standard", "total_max_attempts": 3}))',
    "redis": " (redis.Redis(retry=None))",
}


def explanation(finding: str, numbers: Mapping[str, int]) -> str:
    calls, attempts = numbers.get("n", 0), numbers.get("attempts", 0)
    return EXPLANATIONS[finding].format(
        calls="1 call" if calls == 1 else f"{calls} calls", attempts=attempts, factor=f"{attempts / max(calls, 1):.3g}"
    )


def remedy(finding: str, client: str) -> str:
    return REMEDIES[finding].format(
        timeout=TIMEOUTS[client].replace("{client}", client),
        backoff=BACKOFFS.get(client, BACKOFF),
        retry_after=RETRY_AFTER.get(client, ""),
        one=ONE.get(client, ""),
    )
