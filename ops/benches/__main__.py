"""`ops/bench NAME`: runs one bench in this process and prints its JSON line last."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import signal
import sys

import django

BENCHES = {
    "match": "search, load, add and evict in a gallery of many, against a bare faiss index",
    "pipeline": "frames through decode, detect, track, align, embed and match, against peers",
    "sweep": "everything that is due, with its workers killed in the middle of it",
    "chaos": "everything that is due, while workers, beat, Redis, PostgreSQL and the clock fail",
    "replay": "half a year of a chain's arrivals through the real services, with time simulated",
    "fleet": "many cameras at once on this machine, from the frame to the board",
    "board": "many open floor boards, from a visit in the database to its card on each",
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="ops/bench", description=__doc__)
    chosen = parser.add_subparsers(dest="bench", required=True, metavar="|".join(BENCHES))
    # Only the one that was asked for is imported: they bring a lot along.
    modules = {}
    for name, text in BENCHES.items():
        sub = chosen.add_parser(name, help=text, description=text)
        if name in arguments[:1]:
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apps.config.settings")
            django.setup()
            logging.getLogger("apps").setLevel(logging.WARNING)
            modules[name] = importlib.import_module(f"ops.benches.{name}")
            modules[name].arguments(sub)
    given = parser.parse_args(arguments)
    outcome = modules[given.bench].measure(given)
    for sentence in outcome.missed:
        print(f"missed: {sentence}", file=sys.stderr, flush=True)
    # A bench that counts what was missed itself says so in its own words.
    print(json.dumps({"missed": len(outcome.missed), **outcome.values}), flush=True)
    return 1 if outcome.missed else 0


if __name__ == "__main__":
    # Ended from outside it still stops what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
