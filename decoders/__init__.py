"""Window in, embedding out: encoders, training, evidence and scoring."""
