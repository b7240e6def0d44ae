"""What can be known at all: exact posteriors under a known forward model."""
