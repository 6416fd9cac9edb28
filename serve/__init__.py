"""Entry points of Ray Serve."""
