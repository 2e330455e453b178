"""A TLS handshake in memory: what OpenSSL itself says of two contexts."""

import ssl


def shake_hands(
    master: ssl.SSLContext, client: ssl.SSLContext, server_name: str
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """The master's and the client's end of a completed handshake.

    Raises:
        ssl.SSLError: whichever end refused, in its own words.
    """
    to_master, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = master.wrap_bio(to_master, to_client, server_side=True)
    caller = client.wrap_bio(to_client, to_master, server_hostname=server_name)
    for _ in range(4):
        for end in (caller, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    try:
        caller.read(1)  # in TLS 1.3 a refused client certificate shows at the first read
    except ssl.SSLWantReadError:
        return server, caller
    raise AssertionError("nothing was sent")
