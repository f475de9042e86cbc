"""Formats: bytes <-> meaning. No sockets, no clock, no global randomness; each file can read and write its format."""
