"""Outrigger's blob store over any Apache OpenDAL service."""

VERSION = "0.1.0"
"""The driver's own release."""

NAME = "io.outrigger.opendal"
"""Reverse DNS, as Describe tells it."""
