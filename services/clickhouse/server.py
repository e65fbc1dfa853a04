"""ClickHouse's engine behind its HTTP interface: one statement per POST, one at a time.

    python3 server.py PORT FOLDER
"""

import gzip
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlparse

from chdb.session import Session

DATABASES = ["default", "shop"]
# What the HTTP interface takes for itself; everything else is a parameter of the statement or a setting.
OF_INTERFACE = ["query", "wait_end_of_query", "database", "user", "password"]

engine = Session(sys.argv[2])
one_at_a_time = threading.Lock()


def literal(text, name):
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    is_number = text.isdigit() and not name.startswith("param_")
    return text if is_number else f"'{escaped}'"


def forget(name):
    try:
        engine.query(f"SET {name} = DEFAULT")
    except Exception:  # one that there is not could not be set either
        pass


def run(statement, database, parameters):
    """Gives status, code of the exception and body."""
    with one_at_a_time:
        try:
            engine.query(f"USE {database}")
            for name, value in parameters.items():
                engine.query(f"SET {name} = {literal(value, name)}")
            return 200, None, engine.query(statement, "TabSeparated").bytes() or b""
        except Exception as error:  # whatever the engine throws is what is answered
            code = re.search(r"Code: (\d+)", str(error))
            return 500, code and code.group(1), str(error).encode()
        finally:
            # Settings are those of one request; the engine keeps them.
            for name in parameters:
                if not name.startswith("param_"):
                    forget(name)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, code, body):
        self.send_response(status)
        if code:
            self.send_header("X-ClickHouse-Exception-Code", code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, None, b"Ok.\n")

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        whole = b""
        while length := int(self.rfile.readline(), 16):
            whole += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def do_POST(self):
        body = self.body()
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        query = dict(parse_qsl(urlparse(self.path).query, keep_blank_values=True))
        # Data stands behind its statement.
        parts = [query["query"].encode()] if "query" in query else []
        statement = b"\n".join(parts + [body]).decode()
        database = self.headers.get("X-ClickHouse-Database") or "default"
        parameters = {name: value for name, value in query.items() if name not in OF_INTERFACE}
        self.answer(*run(statement, database, parameters))


for name in DATABASES:
    engine.query(f"CREATE DATABASE IF NOT EXISTS {name} ENGINE = Atomic")
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
