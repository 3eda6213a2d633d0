"""The index of voices: who is nearest, and who is nobody known."""
