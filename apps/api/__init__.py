"""The documented door for other systems: /api/v1/, one token a client, every call in the ledger."""
