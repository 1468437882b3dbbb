"""The stage that finds item pairs in behaviour, has them judged, and asks questions about items."""
