"""The sampling service: trained generators behind HTTP, on Ray Serve."""
