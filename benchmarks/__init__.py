"""Measurements of Bourse against its peers. Not imported by the product."""
