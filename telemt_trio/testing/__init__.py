"""The shipped test kit: fakes and clients that speak the real protocol on loopback."""
