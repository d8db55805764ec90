"""What people ask of the house: taken in, identity, clock, decision, package, alarms.

Each step is one transaction of the row and its ledger entry, which names the request and holds
nothing of the person. Whoever touches a person as well locks them first, as an erasure does. What
must never happen, whichever way it is tried, PostgreSQL refuses: see retention.models.request.
"""
