"""`decode-stream evaluate`: recordings scored by protocols with a name."""
