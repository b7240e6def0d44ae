"""The window: draws immutable snapshots that it pulls from a session, and knows no threads of the core."""
