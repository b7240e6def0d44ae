"""How encoders are fitted: losses, schedules, choice of settings."""
