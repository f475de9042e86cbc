"""Observers of events, readers of plain counters."""
