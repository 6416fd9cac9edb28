"""A client of the sampling service: rows as a DataFrame, an Arrow table, a stream of batches, or a file.

    client = fingan.Client("https://fingan.example.com")        # token from FINGAN_TOKEN
    rows = client.sample("loans", 100_000, where={"credit_risk": "bad"})

Row i of a sample is a function of version, seed, candidates and condition, so a download that breaks
goes on where it broke, on whatever replica answers next, and large samples are asked for in parts.
"""

from fingan.client.sampling import PART_ROWS, Client
from fingan.client.transport import TOKEN_VARIABLE, ServiceError, ServiceNotFound, ServiceUserError

__all__ = ["PART_ROWS", "TOKEN_VARIABLE", "Client", "ServiceError", "ServiceNotFound", "ServiceUserError"]
