"""What Consentry must reach, measured on this machine through the product's own code.

Each bench prints one JSON object as its last line and fails when a reach is missed. Ratios are
taken in one run, side by side, because machines differ; nothing here is a test.
"""
