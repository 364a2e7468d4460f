"""Outrigger's blob store over any Apache OpenDAL service."""

import os

# Read when gRPC is loaded: its own words are no JSON lines, and what matters of them is an error of a call as well.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

VERSION = "0.1.0"
"""The driver's own release."""

NAME = "io.outrigger.opendal"
"""Reverse DNS, as Describe tells it."""
