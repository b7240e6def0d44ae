"""Training of generators: a teacher by flow matching, and students of few steps of any teacher."""
