"""Run as a program: in each framework one run is started, hits a request, and is stopped. Prints what came of it."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import httpx2
from chalice.test import Client
from fastapi.testclient import TestClient

HOSTS = Path(__file__).parents[1] / "contract/hosts"
API = "/chaos_experiments"
HEADERS = {"Authorization": "Bearer a-token-for-tests", "Content-Type": "application/json"}
START = {"experiment_name": "latency_injection", "delay_seconds": 0.0, "duration_seconds": 600.0, "restart": True}
STOP = {"experiment_name": "latency_injection"}


class OfChalice:
    """Chalice's own test client, called as the others are."""

    def __init__(self, app: Any) -> None:
        self._http = Client(app).http

    def request(self, method: str, path: str, *, content: str = "") -> Any:
        answer = self._http.request(method, path, headers=HEADERS, body=content.encode())
        answer.json = lambda: answer.json_body
        return answer


class OfOthers:
    def __init__(self, client: Any) -> None:
        self._client = client

    def request(self, method: str, path: str, *, content: str = "") -> Any:
        return self._client.request(method, path, headers=HEADERS, content=content)


def tried(client: Any) -> list[Any]:
    started = client.request("POST", f"{API}/start", content=json.dumps(START))
    hit = client.request("GET", "/orders/1")
    stopped = client.request("POST", f"{API}/stop", content=json.dumps(STOP))
    return [started.status_code, hit.headers.get("X-Chaos-Experiment"), stopped.json()["resultset"].get("status")]


def main() -> None:
    apps = {name: runpy.run_path(str(HOSTS / f"{name}_host.py"))["app"] for name in ("chalice", "flask", "fastapi")}
    wsgi = httpx2.Client(transport=httpx2.WSGITransport(app=apps["flask"]), base_url="http://testserver")
    clients = {
        "chalice": OfChalice(apps["chalice"]),
        "flask": OfOthers(wsgi),
        "fastapi": OfOthers(TestClient(apps["fastapi"])),
    }
    print(json.dumps({name: tried(client) for name, client in clients.items()}))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
