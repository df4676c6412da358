"""WebSocket frames as a server writes them (RFC 6455, section 5.2): whole, unmasked, uncompressed.

An uncompressed frame is legal on a connection that has agreed on permessage-deflate (RFC 7692).
"""

TEXT = 0x81
BINARY = 0x82


def wire_frame(opcode: int, payload: bytes) -> bytes:
    """Return the bytes on the wire of one final frame."""
    length = len(payload)
    if length < 126:
        return b"%c%c%b" % (opcode, length, payload)
    if length < 65536:
        return b"%c\x7e%b%b" % (opcode, length.to_bytes(2, "big"), payload)
    return b"%c\x7f%b%b" % (opcode, length.to_bytes(8, "big"), payload)
