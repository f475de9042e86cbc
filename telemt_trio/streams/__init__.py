"""trio stream adapters over the wire codecs, for embedders, carriers and tests."""
