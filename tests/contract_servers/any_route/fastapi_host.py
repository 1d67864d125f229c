import fastapi

from chalicelib.frameworks.fastapi import ChaosExperiments

app = fastapi.FastAPI()
ChaosExperiments(app, excluded_paths=["/orders/closed", "/carts/closed/*"])


@app.api_route("/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def page(rest: str) -> str:
    return f"the page of {rest}"
