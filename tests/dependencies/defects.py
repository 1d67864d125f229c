"""Calls of an application whose retries or time-outs do harm when a dependency fails, each with its mended twin.

The line that the audit is to name is marked.
"""
# ruff: noqa: PLC0415 - an environment may lack a library

import asyncio
import random
import ssl
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

MARK = "# the call"


def jitter(attempt: int) -> float:
    """A pause that grows, and differs by chance."""
    return random.uniform(0.1, 1.0) * 2**attempt  # noqa: S311 - not for secrets


@lru_cache
def tls() -> ssl.SSLContext:
    """Made once: nothing here speaks TLS, and it takes its time."""
    return ssl.create_default_context()


# requests


def requests_without_timeout(url: str) -> None:
    import requests

    requests.get(f"{url}/stock")  # the call


def requests_with_timeout(url: str) -> None:
    import requests

    requests.get(f"{url}/stock", timeout=(3, 10))  # the call


def requests_without_backoff(url: str) -> None:
    import requests

    for _ in range(4):
        try:
            requests.get(f"{url}/stock", timeout=(3, 10)).raise_for_status()  # the call
        except requests.RequestException:
            continue
        return


def requests_with_backoff(url: str) -> None:
    requests_session().get(f"{url}/stock", timeout=(3, 10))  # the call


@lru_cache
def requests_session() -> Any:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util.retry import Retry

    session = requests.Session()
    retry = Retry(total=3, backoff_factor=0.5, backoff_jitter=0.5, status_forcelist=[429, 503], raise_on_status=False)
    session.mount("http://", HTTPAdapter(max_retries=retry))
    return session


def requests_ignoring_retry_after(url: str) -> None:
    import requests

    for attempt in range(3):
        if requests.get(f"{url}/stock", timeout=(3, 10)).ok:  # the call
            return
        time.sleep(jitter(attempt) / 10)


def requests_heeding_retry_after(url: str) -> None:
    import requests

    for attempt in range(3):
        answer = requests.get(f"{url}/stock", timeout=(3, 10))  # the call
        if answer.ok:
            return
        time.sleep(float(answer.headers.get("Retry-After", 0)) + jitter(attempt) / 10)


def requests_charging_twice(url: str) -> None:
    import requests

    for attempt in range(3):
        try:
            requests.post(f"{url}/charges", json={"amount": 7}, timeout=(3, 10))  # the call
        except requests.RequestException:
            time.sleep(jitter(attempt))
        else:
            return


def requests_charging_once(url: str) -> None:
    import requests

    key = {"Idempotency-Key": f"order-{random.random()}"}  # noqa: S311 - as above
    for attempt in range(3):
        try:
            requests.post(f"{url}/charges", json={"amount": 7}, headers=key, timeout=(3, 10))  # the call
        except requests.RequestException:
            time.sleep(jitter(attempt))
        else:
            return


# httpx


def httpx_without_timeout(url: str) -> None:
    import httpx

    with httpx.Client(timeout=None, verify=tls()) as client:
        client.get(f"{url}/stock")  # the call


def httpx_with_timeout(url: str) -> None:
    import httpx

    with httpx.Client(timeout=httpx.Timeout(10, connect=3), verify=tls()) as client:
        client.get(f"{url}/stock")  # the call


def httpx_without_jitter(url: str) -> None:
    httpx_retrying(url, lambda attempt: 0.5 * 2**attempt)


def httpx_with_jitter(url: str) -> None:
    httpx_retrying(url, jitter)


def httpx_retrying(url: str, pause: Callable[[int], float]) -> None:
    import httpx

    with httpx.Client(timeout=5, verify=tls()) as client:
        for attempt in range(3):
            try:
                client.get(f"{url}/stock").raise_for_status()  # the call
            except httpx.HTTPError:
                time.sleep(pause(attempt))
            else:
                return


async def httpx_amplifying(url: str) -> None:
    await httpx_in_layers(url, layers=2)


async def httpx_not_amplifying(url: str) -> None:
    await httpx_in_layers(url, layers=1)


async def httpx_in_layers(url: str, layers: int) -> None:
    import httpx

    async def attempts(call: Callable[[], Any]) -> None:
        for attempt in range(3):
            try:
                return await call()
            except httpx.HTTPError:
                if attempt == 2:
                    raise
                await asyncio.sleep(jitter(attempt))
        return None

    async with httpx.AsyncClient(timeout=5, verify=tls()) as client:

        async def get() -> None:
            (await client.get(f"{url}/stock")).raise_for_status()  # the call

        call: Callable[[], Any] = get
        for _ in range(layers - 1):
            call = lambda inner=call: attempts(inner)  # noqa: E731
        await attempts(call)


# aiohttp


async def aiohttp_without_backoff(url: str) -> None:
    await aiohttp_retrying(url, lambda _: 0.0)


async def aiohttp_with_backoff(url: str) -> None:
    await aiohttp_retrying(url, jitter)


async def aiohttp_retrying(url: str, pause: Callable[[int], float], attempts: int = 4) -> None:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=5, connect=3)
    async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session:
        for attempt in range(attempts):
            try:
                async with session.get(f"{url}/stock"):  # the call
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(pause(attempt))


async def aiohttp_waiting_too_long(url: str) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(f"{url}/stock"):  # the call
        pass


async def aiohttp_waiting_in_time(url: str) -> None:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{url}/stock"):  # the call
        pass


# boto3


@lru_cache
def table(url: str, retries: int = 3, **config: Any) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name="eu-central-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"mode": "standard", "total_max_attempts": retries}, **config),
    )


KEY = {"id": {"S": "1"}}


def boto3_waiting_too_long(url: str) -> None:
    table(url).get_item(TableName="orders", Key=KEY)  # the call


def boto3_waiting_in_time(url: str) -> None:
    table(url, connect_timeout=1, read_timeout=3).get_item(TableName="orders", Key=KEY)  # the call


def boto3_counting_twice(url: str) -> None:
    boto3_counting(url)


def boto3_counting_once(url: str) -> None:
    boto3_counting(url, ConditionExpression="attribute_not_exists(counted)")


def boto3_counting(url: str, **more: str) -> None:
    table(url, read_timeout=3).update_item(  # the call
        TableName="orders",
        Key=KEY,
        UpdateExpression="ADD stock :one",
        ExpressionAttributeValues={":one": {"N": "-1"}},
        **more,
    )


def boto3_amplifying(url: str) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    for attempt in range(3):
        try:
            table(url, read_timeout=3).get_item(TableName="orders", Key=KEY)  # the call
        except (BotoCoreError, ClientError):
            time.sleep(jitter(attempt))
        else:
            return


def boto3_not_amplifying(url: str) -> None:
    table(url, read_timeout=3).get_item(TableName="orders", Key=KEY)  # the call
