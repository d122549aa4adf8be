"""PgBouncer, which gives a session of the server for one transaction at a time."""

from __future__ import annotations

import shutil

from tests.hosts.ledger import PostgresServer, eventually
from tests.hosts.network import Host

PORT = 6432
SESSIONS = 4
"""Fewer than a node has connections, so that they are shared."""


def program() -> str | None:
    """Return where PgBouncer is, if it is installed."""
    return shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")


def start_pooler(host: Host, server: PostgresServer) -> str:
    """Start one on a host, in front of a server; return its URL for `cronq`."""
    path = program()
    assert path is not None
    users = host.folder / "users.txt"
    users.write_text(f'"cronq" "{server.password}"\n')
    settings = host.folder / "pgbouncer.ini"
    settings.write_text(
        f"""[databases]
cronq = host={server.host.address} port=5432 dbname=cronq user=cronq password={server.password}
[pgbouncer]
listen_addr = {host.address}
listen_port = {PORT}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = {SESSIONS}
server_round_robin = 1
"""
    )
    for file in (users, settings):
        file.chmod(0o644)
    host.folder.chmod(0o711)
    log = host.folder / "pgbouncer.log"
    host.start(
        "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", path, str(settings), log=log
    )
    eventually(lambda: "process up" in log.read_text(), "PgBouncer is up")
    return f"postgresql://cronq:{server.password}@{host.address}:{PORT}/cronq?listen=no"
