"""Roads to Telegram: which datacenter, which way, in what health."""
