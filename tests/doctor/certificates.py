"""Certificates of the tests' own, and a TLS proxy that shows one."""

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def write_certificate(folder: Path, *, days: float) -> Path:
    """Write a certificate of 127.0.0.1 that ends in so many days, with its key; return its path."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - datetime.timedelta(days=400))
        .not_valid_after(end)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"certificate-{days}.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@contextlib.asynccontextmanager
async def tls_proxy(certificate: Path, port: int, *, greeting: bytes = b"") -> AsyncIterator[int]:
    """Yield the port of a server that ends TLS and passes the rest to a port of this machine.

    Args:
        greeting: what is sent in clear, for 8 bytes in clear, before TLS begins: b"S" as
            PostgreSQL does.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if greeting:
            await reader.readexactly(8)
            writer.write(greeting)
            await writer.start_tls(context)
        with contextlib.suppress(OSError):
            upstream = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(copy(reader, upstream[1]), copy(upstream[0], writer))
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=None if greeting else context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
