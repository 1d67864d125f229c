"""The endpoints without a web framework: Request in, Response out."""
