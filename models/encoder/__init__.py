"""Item encoders: text in, vectors out."""
