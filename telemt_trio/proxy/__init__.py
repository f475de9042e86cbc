"""The story of a connection, in the order it happens."""
