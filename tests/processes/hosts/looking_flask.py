import flask

from chalicelib.frameworks.flask import ChaosExperiments
from tests.processes.hosts import looking

app = flask.Flask("host")
ChaosExperiments(app, excluded_paths=["/health", "/look"])

app.add_url_rule("/look", view_func=looking.look)
app.add_url_rule("/use-up", view_func=looking.use_up)
app.add_url_rule("/leak", view_func=looking.leak)
app.add_url_rule("/health", view_func=lambda: {"health": "good"}, endpoint="health")
