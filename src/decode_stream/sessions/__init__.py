"""Live sessions: from a stream to what the views show."""
