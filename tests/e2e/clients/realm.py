"""Runs a program where Microsoft's hosts are the emulator, and nothing else can be reached.

  unshare -n -m python3 realm.py SOCKET HOSTS PROGRAM [ARGUMENT...]

In the namespaces that unshare made: brings the loopback up, puts HOSTS over /etc/hosts, and pipes what
comes to 127.0.0.1:443 to the Unix socket SOCKET, behind which the emulator speaks TLS. Ends as PROGRAM
does.
"""
import fcntl
import socket
import struct
import subprocess
import sys
import threading

SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40


def pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    # Half closed: the other direction may still have something to say.
    try:
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(listener, path):
    while True:
        client, _ = listener.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(path)
        for pair in ((client, server), (server, client)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


def main():
    path, hosts, *command = sys.argv[1:]
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", IFF_UP | IFF_RUNNING, b""))
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 443))
    listener.listen(128)
    threading.Thread(target=serve, args=(listener, path), daemon=True).start()
    sys.exit(subprocess.run(command).returncode)


main()
