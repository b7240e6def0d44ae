"""How right decoders are, with chance, n and an interval."""
