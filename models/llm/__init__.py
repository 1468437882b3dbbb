"""Large language models: one interface, run in this process or behind an OpenAI-compatible endpoint."""
