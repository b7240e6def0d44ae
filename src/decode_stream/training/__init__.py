"""`decode-stream train`: from recordings to a bundle."""
