"""The stage that embeds items: which encoder is live, its vectors, and its tuning."""
