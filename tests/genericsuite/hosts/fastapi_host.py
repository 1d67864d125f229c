from chaos_experiments.frameworks.fastapi import ChaosExperiments
from genericsuite.fastapilib.util.create_app import create_app

app = create_app(app_name="backend")
ChaosExperiments(app, prefix="/v1/chaos_experiments")
