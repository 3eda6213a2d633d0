"""A web server on this machine with faults, to be asked for in order."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Faulty(ThreadingHTTPServer):
    """Serves `files` (name to bytes); each request takes the next of `faults`, then there are none.

    `seen` has the path and the Range header of each request. Faults are "cut" (the connection breaks in the
    middle of what was asked for), "hang" (nothing comes after the middle), "silent" (no answer), "no range",
    "gzip" (called encoded), "unsized" (no length, half of it), "limited" (a tenth of the range), "nothing"
    (of the range), "another range", "moved" (a redirect) and the numbers of statuses.
    """

    daemon_threads = True

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.faults, self.seen, self.released = files, [], [], threading.Event()
        self.address = f"http://127.0.0.1:{self.server_port}/12/"

    def handle_error(self, request, client_address):
        pass  # a client that was killed


class Handler(BaseHTTPRequestHandler):
    """One request; see `Faulty`."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.seen.append((self.path, asked))
        fault = server.faults.pop(0) if server.faults else ""
        content = server.files.get(self.path.rpartition("/")[2])
        if content is None or isinstance(fault, int):
            return self.send_error(404 if content is None else fault)
        if fault == "silent":
            return server.released.wait()
        if fault == "moved":
            self.send_response(302)
            self.send_header("Location", f"/mirror/{self.path.rpartition('/')[2]}")
            return self.end_headers()
        begin = int(asked[len("bytes=") : -1]) if asked and fault != "no range" else 0
        if asked and begin >= len(content):
            return self.send_error(416)
        parts = {"limited": 0.1, "nothing": 0}
        end = begin + int(parts.get(fault, 1) * (len(content) - begin))
        if fault == "another range":
            begin -= 10
        self.send_response(206 if asked and fault != "no range" else 200)
        if asked and fault != "no range":
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(content)}")
        if fault == "gzip":
            self.send_header("Content-Encoding", "gzip")
        if fault != "unsized":
            self.send_header("Content-Length", str(end - begin))
        self.end_headers()
        if fault in ("cut", "hang", "unsized"):
            end = begin + (end - begin) // 2
        self.wfile.write(content[begin:end])
        if fault == "hang":
            server.released.wait()


@contextmanager
def serving(files):
    """A server of `files`; stopped at the end of the block."""
    server = Faulty(files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
