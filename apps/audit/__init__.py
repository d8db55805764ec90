"""The ledger: an append-only Merkle tree of who did what, without personal data in its leaves."""
