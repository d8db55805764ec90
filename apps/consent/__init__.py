"""Notices, signed consents and their receipts: what was read, agreed to, and until when."""
