"""Pictures, one file a notebook or subject."""
