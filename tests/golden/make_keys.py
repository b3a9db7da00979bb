#!/usr/bin/env python3
"""Writes keys.json: the vectors that every implementation of onced's keys must reproduce.

A second implementation on purpose. It follows protocol/WIRE.md ("Keys") and the MessagePack specification alone and
shares nothing with the C++ sources, so that a vector is never merely what our code happens to do. Run it after a change
of the vectors; a change of bytes for a key that was valid before is a new version of the protocol.

    python3 tests/golden/make_keys.py > tests/golden/keys.json
"""

import base64
import json
import math
import struct


class Digest(bytes):
    """A SHA-256."""


class Timestamp(tuple):
    """Seconds since 1970 and nanoseconds."""


class Map(list):
    """Pairs in the order given, of any types."""


def encode(value):
    if value is None:
        return b"\xc0"
    if value is True or value is False:
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return encode_integer(value)
    if isinstance(value, float):
        return b"\xcb" + (bytes.fromhex("7ff8000000000000") if math.isnan(value) else struct.pack(">d", value))
    if isinstance(value, str):
        data = value.encode()
        return encode_head(len(data), 0xA0, 31, (0xD9, 0xDA, 0xDB)) + data
    if isinstance(value, Digest):
        return b"\xc7\x20\x01" + bytes(value)
    if isinstance(value, bytes):
        return encode_head(len(value), None, -1, (0xC4, 0xC5, 0xC6)) + value
    if isinstance(value, Timestamp):
        seconds, nanoseconds = value
        if 0 <= seconds < 2**32 and nanoseconds == 0:
            return b"\xd6\xff" + struct.pack(">I", seconds)
        if 0 <= seconds < 2**34:
            return b"\xd7\xff" + struct.pack(">Q", nanoseconds << 34 | seconds)
        return b"\xc7\x0c\xff" + struct.pack(">Iq", nanoseconds, seconds)
    if isinstance(value, (Map, dict)):
        pairs = value.items() if isinstance(value, dict) else value
        entries = sorted((encode(key), encode(item)) for key, item in pairs)
        assert len({key for key, _ in entries}) == len(entries)
        return encode_head(len(entries), 0x80, 15, (None, 0xDE, 0xDF)) + b"".join(k + v for k, v in entries)
    if isinstance(value, (list, tuple)):
        return encode_head(len(value), 0x90, 15, (None, 0xDC, 0xDD)) + b"".join(map(encode, value))
    raise TypeError(value)


def encode_integer(value):
    if 0 <= value <= 127 or -32 <= value < 0:
        return struct.pack(">B", value & 0xFF)
    forms = (">BB", 0xCC, 8), (">BH", 0xCD, 16), (">BI", 0xCE, 32), (">BQ", 0xCF, 64)
    if value < 0:
        forms = (">Bb", 0xD0, 7), (">Bh", 0xD1, 15), (">Bi", 0xD2, 31), (">Bq", 0xD3, 63)
    for layout, first, bits in forms:
        if -(2**bits) <= value < 2**bits:
            return struct.pack(layout, first, value)
    raise OverflowError(value)


def encode_head(length, fix, fix_max, firsts):
    if length <= fix_max:
        return bytes([fix | length])
    for first, layout, limit in zip(firsts, (">BB", ">BH", ">BI"), (2**8, 2**16, 2**32)):
        if first is not None and length < limit:
            return struct.pack(layout, first, length)
    raise OverflowError(length)


def spell(value):
    """Arguments as JSON: WIRE.md, "Arguments as JSON"."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"}
    if isinstance(value, Digest):
        return {"$digest": value.hex()}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, Timestamp):
        return {"$timestamp": list(value)}
    if isinstance(value, Map):
        return {"$map": [[spell(key), spell(item)] for key, item in value]}
    if isinstance(value, dict):
        return {key: spell(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [spell(item) for item in value]
    return value


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


digest = Digest.fromhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
accepted = [
    # name, function, version, session, arguments
    ("no arguments", "f", "", None, []),
    ("no named arguments", "f", "", None, {}),
    ("the example of WIRE.md", "sales", "v2", None, ["north", 7, 0.5]),
    ("named, given out of order", "global_store", "v2", None, {"year": 2024, "fruit": "apples", "a": True}),
    ("a session", "f", "", 7, [1]),
    ("the largest session", "f", "", 2**64 - 1, [1]),
    ("one as an integer", "f", "", None, [1]),
    ("one as a float", "f", "", None, [1.0]),
    ("one as text", "f", "", None, ["1"]),
    ("true", "f", "", None, [True]),
    ("false and nil", "f", "", None, [False, None]),
    ("zero", "f", "", None, [0]),
    ("positive zero", "f", "", None, [0.0]),
    ("negative zero", "f", "", None, [-0.0]),
    ("not a number", "f", "", None, [math.nan]),
    ("infinities", "f", "", None, [math.inf, -math.inf]),
    ("floats at the edges", "f", "", None, [5e-324, 1.7976931348623157e308, 0.1, -2.5, 1e21]),
    ("positive integers at every edge", "f", "", None,
     [127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]),
    ("negative integers at every edge", "f", "", None,
     [-1, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63)]),
    ("texts at every edge", "f", "", None, ["", "x" * 31, "x" * 32, "x" * 255, "x" * 256]),
    ("text beyond ASCII", "größe", "β", None, ["äöü", "日本語", "🍎", "e\u0301", "\u00e9"]),
    ("control characters", "f", "", None, ["\x00\x1b[31m\n\u007f"]),
    ("bytes at every edge", "f", "", None, [b"", b"\x00\xff", b"y" * 255, b"y" * 256]),
    ("bytes are no text", "f", "", None, [b"abc", "abc"]),
    ("a digest", "f", "", None, [digest]),
    ("bytes that a digest has", "f", "", None, [bytes(digest)]),
    ("timestamps in 32 bits", "f", "", None, [Timestamp((0, 0)), Timestamp((2**32 - 1, 0))]),
    ("timestamps in 64 bits", "f", "", None,
     [Timestamp((0, 1)), Timestamp((2**32, 0)), Timestamp((2**34 - 1, 999999999)), Timestamp((1700000000, 500000000))]),
    ("timestamps in 96 bits", "f", "", None, [Timestamp((-1, 0)), Timestamp((2**34, 0)), Timestamp((-(2**63), 999999999))]),
    ("an array of 15 and of 16", "f", "", None, [list(range(15)), list(range(16))]),
    ("a map of 15 and of 16", "f", "", None, [{f"k{i}": i for i in range(15)}, {f"k{i}": i for i in range(16)}]),
    ("shorter names come first", "f", "", None, {"aa": 1, "b": 2, "": 3, "c": 4}),
    ("long names come after short ones", "f", "", None, {"a" * 32: 1, "z": 2, "a" * 31: 3}),
    ("names that are no text", "f", "", None, [Map([("1", 1), (1, 2), (-1, 3), (None, 4), (1.0, 5), ([1], 6)])]),
    ("a map that looks like a special spelling", "f", "", None, [Map([("$bytes", "YWJj")])]),
    ("maps inside of maps", "f", "", None, {"b": {"y": [{"q": 1, "p": 2}], "x": None}, "a": {}}),
    ("as deep as allowed", "f", "", None, nested(32)),
]


def key(session, function, version, arguments):
    return encode([session, function, version, arguments])


# name, bytes, code, why
good = key(None, "f", "", [1])
head = b"\x94\xc0\xa1f\xa0"
refused = [
    ("nothing", b"", "malformed", "empty"),
    ("cut", good[:-1], "malformed", "ends in the middle"),
    ("one byte more", good + b"\xc0", "malformed", "other bytes follow"),
    ("no array", b"\xa1f", "malformed", "not an array of four"),
    ("three elements", b"\x93\xc0\xa1f\xa0", "malformed", "not an array of four"),
    ("array header too long", b"\xdc\x00\x04" + good[1:], "malformed", "not the shortest encoding"),
    ("session is text", b"\x94\xa0\xa1f\xa0\x90", "malformed", "session is neither nil nor a number"),
    ("session is negative", b"\x94\xff\xa1f\xa0\x90", "malformed", "session is neither nil nor a number"),
    ("function is bytes", b"\x94\xc0\xc4\x01f\xa0\x90", "malformed", "function is no text"),
    ("no function", b"\x94\xc0\xa0\xa0\x90", "malformed", "function is empty"),
    ("function too long", key(None, "f" * 257, "", []), "too_large", "function of 257 bytes"),
    ("version is nil", b"\x94\xc0\xa1f\xc0\x90", "malformed", "version is no text"),
    ("version too long", key(None, "f", "v" * 129, []), "too_large", "version of 129 bytes"),
    ("arguments are a number", b"\x94\xc0\xa1f\xa0\x01", "malformed", "arguments are neither array nor map"),
    ("arguments are nil", b"\x94\xc0\xa1f\xa0\xc0", "malformed", "arguments are neither array nor map"),
    ("uint 8 below 128", head + b"\x91\xcc\x7f", "malformed", "not the shortest encoding"),
    ("uint 16 below 256", head + b"\x91\xcd\x00\xff", "malformed", "not the shortest encoding"),
    ("uint 32 below 65536", head + b"\x91\xce\x00\x00\xff\xff", "malformed", "not the shortest encoding"),
    ("uint 64 below 2^32", head + b"\x91\xcf\x00\x00\x00\x00\xff\xff\xff\xff", "malformed", "not the shortest encoding"),
    ("int 8 that is positive", head + b"\x91\xd0\x01", "malformed", "not the shortest encoding"),
    ("int 8 above -33", head + b"\x91\xd0\xe0", "malformed", "not the shortest encoding"),
    ("int 16 above -129", head + b"\x91\xd1\xff\x80", "malformed", "not the shortest encoding"),
    ("int 32 above -32769", head + b"\x91\xd2\xff\xff\x80\x00", "malformed", "not the shortest encoding"),
    ("int 64 above -2^31-1", head + b"\x91\xd3\xff\xff\xff\xff\x80\x00\x00\x00", "malformed", "not the shortest encoding"),
    ("float 32", head + b"\x91\xca\x3f\x80\x00\x00", "malformed", "floats have 64 bits"),
    ("another NaN", head + b"\x91\xcb\x7f\xf8\x00\x00\x00\x00\x00\x01", "malformed", "one NaN only"),
    ("a negative NaN", head + b"\x91\xcb\xff\xf8\x00\x00\x00\x00\x00\x00", "malformed", "one NaN only"),
    ("str 8 below 32", head + b"\x91\xd9\x01x", "malformed", "not the shortest encoding"),
    ("str 16 below 256", head + b"\x91\xda\x00\x20" + b"x" * 32, "malformed", "not the shortest encoding"),
    ("str 32 below 65536", head + b"\x91\xdb\x00\x00\x00\x01x", "malformed", "not the shortest encoding"),
    ("bin 16 below 256", head + b"\x91\xc5\x00\x01x", "malformed", "not the shortest encoding"),
    ("bin 32 below 65536", head + b"\x91\xc6\x00\x00\x00\x01x", "malformed", "not the shortest encoding"),
    ("array 16 below 16", head + b"\xdc\x00\x01\x01", "malformed", "not the shortest encoding"),
    ("array 32 below 65536", head + b"\xdd\x00\x00\x00\x01\x01", "malformed", "not the shortest encoding"),
    ("map 16 below 16", head + b"\xde\x00\x01\xa1a\x01", "malformed", "not the shortest encoding"),
    ("map 32 below 65536", head + b"\xdf\x00\x00\x00\x01\xa1a\x01", "malformed", "not the shortest encoding"),
    ("map not sorted", head + b"\x82\xa1b\x01\xa1a\x02", "malformed", "names not in order"),
    ("map sorted by text and not by encoding", head + b"\x82\xa2aa\x01\xa1b\x02", "malformed", "names not in order"),
    ("the same name twice", head + b"\x82\xa1a\x01\xa1a\x02", "malformed", "duplicate name"),
    ("inner map not sorted", head + b"\x91\x82\xa1b\x01\xa1a\x02", "malformed", "names not in order"),
    ("map without its last value", head + b"\x81\xa1a", "malformed", "ends in the middle"),
    ("a huge array that is not there", head + b"\xdd\xff\xff\xff\xff", "malformed", "ends in the middle"),
    ("a huge map that is not there", head + b"\xdf\xff\xff\xff\xff", "malformed", "ends in the middle"),
    ("huge bytes that are not there", head + b"\x91\xc6\xff\xff\xff\xff", "malformed", "ends in the middle"),
    ("the byte c1", head + b"\x91\xc1", "malformed", "never used by MessagePack"),
    ("text with a lone byte", head + b"\x91\xa1\xff", "malformed", "not UTF-8"),
    ("text with an overlong slash", head + b"\x91\xa2\xc0\xaf", "malformed", "not UTF-8"),
    ("text with a surrogate", head + b"\x91\xa3\xed\xa0\x80", "malformed", "not UTF-8"),
    ("text above U+10FFFF", head + b"\x91\xa4\xf4\x90\x80\x80", "malformed", "not UTF-8"),
    ("text cut in a character", head + b"\x91\xa1\xc3", "malformed", "not UTF-8"),
    ("an unknown extension", head + b"\x91\xc7\x01\x05x", "malformed", "extension 5"),
    ("fixext 1", head + b"\x91\xd4\x01x", "malformed", "extension 1 has 32 bytes"),
    ("a digest of 31 bytes", head + b"\x91\xc7\x1f\x01" + b"x" * 31, "malformed", "extension 1 has 32 bytes"),
    ("a digest in ext 16", head + b"\x91\xc8\x00\x20\x01" + b"x" * 32, "malformed", "not the shortest encoding"),
    ("timestamp 64 that fits into 32", head + b"\x91\xd7\xff" + struct.pack(">Q", 5), "malformed", "not the shortest form"),
    ("timestamp 96 that fits into 64", head + b"\x91\xc7\x0c\xff" + struct.pack(">Iq", 1, 5), "malformed", "not the shortest form"),
    ("timestamp in ext 8 of 4 bytes", head + b"\x91\xc7\x04\xff\x00\x00\x00\x05", "malformed", "not the shortest encoding"),
    ("timestamp 64 with 10^9 nanoseconds", head + b"\x91\xd7\xff" + struct.pack(">Q", 10**9 << 34), "malformed", "nanoseconds"),
    ("timestamp 96 with 10^9 nanoseconds", head + b"\x91\xc7\x0c\xff" + struct.pack(">Iq", 10**9, -1), "malformed", "nanoseconds"),
    ("deeper than allowed", key(None, "f", "", nested(33)), "too_large", "33 levels"),
    ("longer than allowed", key(None, "f", "", [b"x" * 32768]), "too_large", "more than 32768 bytes"),
]


def lines(rows):
    return ",\n".join("    " + json.dumps(row, ensure_ascii=True) for row in rows)


def main():
    about = "Written by make_keys.py. accepted: every implementation makes key_hex of the rest; refused: must be refused with that code."
    good_rows = [
        {"name": name, "function": function, "version": version, "session": session, "arguments": spell(arguments),
         "key_hex": key(session, function, version, arguments).hex()}
        for name, function, version, session, arguments in accepted
    ]
    bad_rows = [{"name": n, "key_hex": data.hex() if len(data) < 1000 else "", "code": code, "reason": reason} for n, data, code, reason in refused]
    for row, (_, data, _, _) in zip(bad_rows, refused):
        if not row["key_hex"] and data:  # long ones: their beginning, then one byte repeated
            tail = len(data) - len(data.rstrip(data[-1:]))
            row["key_hex"] = data[:-tail].hex()
            row["then_repeated"] = {"byte": data[-1], "count": tail}
    print("{\n  \"about\": %s,\n  \"accepted\": [\n%s\n  ],\n  \"refused\": [\n%s\n  ]\n}" % (json.dumps(about), lines(good_rows), lines(bad_rows)))


if __name__ == "__main__":
    main()
