"""The strong system: encoders that look at speech differently, and statistics without a network."""
