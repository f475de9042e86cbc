"""Who may come in: small state machines that return verdicts made of facts."""
