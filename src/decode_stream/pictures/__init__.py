"""The pictures that people see, and their embeddings: found, computed, kept, brought into a bundle."""
