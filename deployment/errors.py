class DeploymentError(Exception):
    """Why nothing was deployed or removed, and what to do."""
