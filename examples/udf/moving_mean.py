"""A function for scripts: the mean of the last points of each group.

It needs nothing but Python: the few messages it uses are read and written here. Functions made with the agent packages
for Kapacitor work in the same way, without a change.
"""

import json
import struct
import sys
from collections import defaultdict, deque

# Messages and their fields, as far as this function needs them.
INFO, INIT, KEEPALIVE, SNAPSHOT, RESTORE, ERROR, POINT = 1, 2, 3, 4, 5, 6, 17
STREAM, INT, STRING = 0, 1, 3


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, content):
    """Writes a field: bytes, text or a whole number."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    if isinstance(content, float):
        return varint(number << 3 | 1) + struct.pack("<d", content)
    if isinstance(content, str):
        content = content.encode()
    return varint(number << 3 | 2) + varint(len(content)) + content


def read_varint(read):
    number, shift = 0, 0
    while True:
        byte = read(1)
        if not byte:
            raise EOFError
        number |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            return number


def fields(data):
    """Gives the fields of a message: their numbers and contents."""
    at = 0

    def take(count):
        nonlocal at
        at += count
        return data[at - count : at]

    while at < len(data):
        key = read_varint(take)
        kind = key & 7
        if kind == 0:
            yield key >> 3, read_varint(take)
        elif kind == 1:
            yield key >> 3, struct.unpack("<d", take(8))[0]
        else:
            yield key >> 3, take(read_varint(take))


def entry(data):
    """Reads an entry of a map."""
    found = dict(fields(data))
    return found.get(1, b"").decode(), found.get(2, 0)


class MovingMean:
    def __init__(self):
        self.name, self.size = "", 1
        self.last = defaultdict(lambda: deque(maxlen=self.size))

    def answer(self, kind, data):
        """Gives the messages that answer one: their kinds and contents."""
        if kind == INFO:
            types = {"field": [STRING], "size": [INT]}
            options = [
                field(3, field(1, name) + field(2, field(1, bytes(of_name))))
                for name, of_name in types.items()
            ]
            yield INFO, field(1, STREAM) + field(2, STREAM) + b"".join(options)
        elif kind == INIT:
            for number, option in fields(data):
                if number != 1:
                    continue
                option = dict(fields(option))
                value = dict(fields(option[2]))
                if option[1] == b"field":
                    self.name = value[5].decode()
                else:
                    self.size = value.get(3, 0)
            problem = "" if self.name and 0 < self.size < 1 << 32 else "a field and a size are needed"
            yield INIT, field(1, int(not problem)) + field(2, problem)
        elif kind == KEEPALIVE:
            yield KEEPALIVE, data
        elif kind == SNAPSHOT:
            state = {group: list(values) for group, values in self.last.items()}
            yield SNAPSHOT, field(1, json.dumps(state))
        elif kind == RESTORE:
            for group, values in json.loads(dict(fields(data)).get(1, b"{}")).items():
                self.last[group].extend(values)
            yield RESTORE, field(1, 1)
        elif kind == POINT:
            yield from self.point(data)

    def point(self, data):
        group, value, kept = "", None, b""
        for number, content in fields(data):
            if number == 5:
                group = content.decode()
            if number in (8, 9) and entry(content)[0] == self.name:
                value = float(entry(content)[1])
            # Time, names, group and tags stay as they are; fields are replaced by the mean.
            if number in (1, 2, 3, 4, 5, 6, 7, 11):
                kept += field(number, content)
        if value is None:
            print(f"a point of {group!r} has no number {self.name!r}", file=sys.stderr)
            return
        values = self.last[group]
        values.append(value)
        mean = field(1, "mean") + field(2, sum(values) / len(values))
        yield POINT, kept + field(8, mean)


def main():
    source, target = sys.stdin.buffer, sys.stdout.buffer
    function = MovingMean()
    while True:
        try:
            message = source.read(read_varint(source.read))
        except EOFError:
            return
        for kind, data in fields(message):
            for answer, content in function.answer(kind, data):
                content = field(answer, content)
                target.write(varint(len(content)) + content)
        target.flush()


main()
