"""What is running: runs, the port to the table that keeps them, and this process's view of it."""
