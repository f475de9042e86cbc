"""Sockets, dialling and name resolution."""
