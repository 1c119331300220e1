"""What dev.py does, in the standard library and in the syntax of Python 3.8."""
