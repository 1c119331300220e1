"""What an OpenEnv server must do, checked from outside: it speaks the wire itself and judges."""
