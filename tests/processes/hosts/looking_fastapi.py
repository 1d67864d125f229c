import fastapi

from chalicelib.frameworks.fastapi import ChaosExperiments
from tests.processes.hosts import looking

app = fastapi.FastAPI()
ChaosExperiments(app, excluded_paths=["/health", "/look"])

app.get("/look")(looking.look)
app.get("/use-up")(looking.use_up)
app.get("/leak")(looking.leak)
app.get("/health")(lambda: {"health": "good"})
