"""Plots: where the parts of each picture of a report stand, as values that the templates draw."""
