from chalice.app import Chalice

from chalicelib.frameworks.chalice import ChaosExperiments
from tests.processes.hosts import looking

app = Chalice(app_name="host")
ChaosExperiments(app, excluded_paths=["/health", "/look"])

app.route("/look")(looking.look)
app.route("/use-up")(looking.use_up)
app.route("/leak")(looking.leak)
app.route("/health")(lambda: {"health": "good"})
