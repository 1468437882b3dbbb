"""The stage that turns item vectors into semantic IDs."""
