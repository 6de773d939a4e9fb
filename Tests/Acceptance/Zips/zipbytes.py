"""Zips byte by byte, so that each field can be wrong."""

import dataclasses
import struct
import zlib
from typing import Dict, List, Optional

REGULAR, DIRECTORY, LINK = 0o100644, 0o040755, 0o120777


@dataclasses.dataclass
class Member:
    """A member; `local` and `central` replace fields in one of its two headers."""

    name: bytes
    data: bytes = b""
    mode: int = REGULAR
    method: int = 0
    flags: int = 0
    host: int = 3
    #: What lies in the archive; nil: `data`, stored or deflated.
    packed: Optional[bytes] = None
    local: Dict[str, object] = dataclasses.field(default_factory=dict)
    central: Dict[str, object] = dataclasses.field(default_factory=dict)
    #: Bytes after the data, such as a descriptor.
    after: bytes = b""
    #: Not written, for members that share the bytes of others.
    hidden: bool = False

    def __post_init__(self):
        if self.packed is None:
            self.packed = deflated(self.data) if self.method == 8 else self.data
        self.at = 0

    def fields(self, changes):
        fields = dict(
            version=20, flags=self.flags, method=self.method, time=0x6000, date=0x5921, crc=zlib.crc32(self.data),
            compressed=len(self.packed), size=len(self.data), name=self.name, extra=b"", comment=b"", disk=0,
            external=self.mode << 16, offset=self.at, made=self.host << 8 | 20, signature=None)
        fields.update(changes)
        return fields

    def local_bytes(self):
        f = self.fields(self.local)
        return struct.pack(
            "<IHHHHHIIIHH", f["signature"] or 0x04034B50, f["version"], f["flags"], f["method"], f["time"], f["date"],
            f["crc"], f["compressed"], f["size"], len(f["name"]), len(f["extra"])) + f["name"] + f["extra"]

    def central_bytes(self):
        f = self.fields(self.central)
        return struct.pack(
            "<IHHHHHHIIIHHHHHII", f["signature"] or 0x02014B50, f["made"], f["version"], f["flags"], f["method"],
            f["time"], f["date"], f["crc"], f["compressed"], f["size"], len(f["name"]), len(f["extra"]),
            len(f["comment"]), f["disk"], 0, f["external"], f["offset"]) + f["name"] + f["extra"] + f["comment"]


def deflated(data, level=9):
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def end_record(count, size, start, comment=b"", changes=None):
    f = dict(signature=0x06054B50, disk=0, first=0, here=count, count=count, size=size, start=start,
             length=len(comment))
    f.update(changes or {})
    return struct.pack("<IHHHHIIH", f["signature"], f["disk"], f["first"], f["here"], f["count"], f["size"],
                       f["start"], f["length"]) + comment


def end64_records(count, size, start, at, record=None, locator=None):
    """The Zip64 end record that lies at `at`, and its locator."""
    r = dict(signature=0x06064B50, length=44, disk=0, first=0, here=count, count=count, size=size, start=start)
    r.update(record or {})
    l = dict(signature=0x07064B50, disk=0, at=at, disks=1)
    l.update(locator or {})
    return struct.pack("<IQHHIIQQQQ", r["signature"], r["length"], 45, 45, r["disk"], r["first"], r["here"],
                       r["count"], r["size"], r["start"]) + struct.pack(
                           "<IIQI", l["signature"], l["disk"], l["at"], l["disks"])


def body(members: List[Member], start=0, gap=b""):
    """Local headers and data."""
    result = bytearray()
    for member in members:
        if member.hidden:
            continue
        member.at = start + len(result)
        result += member.local_bytes() + member.packed + member.after + gap
    return bytes(result)


def archive(members, end=None, end64=None, locator=None, comment=b"", gap=b"", before=b"", shift=True):
    """A whole zip. `end64`: with Zip64 records of these changes; `before`: in front, and counted in if `shift`."""
    start = len(before) if shift else 0
    data = body(members, start, gap)
    directory = b"".join(member.central_bytes() for member in members)
    at = start + len(data)
    tail = b""
    if end64 is not None:
        tail = end64_records(len(members), len(directory), at, at + len(directory), end64, locator)
    return before + data + directory + tail + end_record(len(members), len(directory), at, comment, end)


def zip64(*numbers):
    return struct.pack("<HH", 1, 8 * len(numbers)) + b"".join(struct.pack("<Q", n) for n in numbers)


def extra(kind, content):
    return struct.pack("<HH", kind, len(content)) + content


def zeros(count, unit=1 << 20):
    """A deflate stream of `count` zeros, made without making them; and their CRC."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(bytes(unit)) + packer.flush(zlib.Z_FULL_FLUSH)
    crc, zero = 0, bytes(unit)
    if count <= 1 << 30:
        for _ in range(count // unit):
            crc = zlib.crc32(zero, crc)
    return piece * (count // unit) + b"\x03\x00", crc
