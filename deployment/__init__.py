"""Brings the application to an AWS account. A tool of this repository: it is not part of what is deployed."""
