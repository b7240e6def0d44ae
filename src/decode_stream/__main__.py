"""``python -m decode_stream`` is ``decode-stream``."""

from decode_stream.cli import main

if __name__ == "__main__":
    main()
