"""Item encoders: text in, unit vectors out."""
