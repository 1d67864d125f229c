class DeploymentError(Exception):
    """What stands in the way, in sentences for whoever deploys."""
