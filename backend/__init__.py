"""Everything of Bourse that is not a page."""

__version__ = "0.1.0"
