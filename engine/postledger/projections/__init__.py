"""Projections: what is kept of states, and can be thrown away."""
