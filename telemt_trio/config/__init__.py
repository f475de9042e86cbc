"""What the operator wants: the model, its rules, and the readers and writers of telemt.toml."""
