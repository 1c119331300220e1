"""What a deployment runs in tests: a program that serves, or does what broken ones do.

Arguments: BEHAVIOUR PORT. "serve" answers GET /health, and every other path with its own pid, and
keeps a connection open until the other side ends it. "exit" refuses to start, "hang" never listens,
"stubborn" serves and ignores SIGTERM.
"""

import os
import signal
import socket
import sys
import threading
import time

REASON = "no licence file found"


def answer(connection: socket.socket) -> None:
    with connection:
        while request := connection.recv(65536):
            body = b"ok" if b" /health " in request else str(os.getpid()).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            if b"Connection: close" in request:
                return


def serve(port: int) -> None:
    with socket.create_server(("127.0.0.1", port), backlog=256) as server:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()


def main(behaviour: str, port: int) -> None:
    if behaviour == "exit":
        sys.stdout.write("reading the configuration\n")
        sys.stdout.flush()
        sys.exit(f"error: {REASON}")
    if behaviour == "hang":
        time.sleep(600)
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    serve(port)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
