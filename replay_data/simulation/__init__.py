"""Simulated people: how their signals come about, and recordings of them in every layout."""
