"""Outgoing calls of the application: one client library, one file, which patches it while a run needs that."""
