"""The data plane: request in, faults out, faults applied. Its defects are logged and never reach the application."""
