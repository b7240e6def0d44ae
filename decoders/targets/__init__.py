"""What encoders are trained to give: embeddings of pictures and of words about them."""
