"""The page: enrol a voice, verify a clip against it, find the nearest voices."""
