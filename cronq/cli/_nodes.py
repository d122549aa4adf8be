"""`cronq status` of a ledger in a server: which nodes live on which hosts, and what waits in the queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cronq.cli._session import Session
from cronq.cli.status import history_kept
from cronq.errors import ExitCode
from cronq.model import SECOND, Micros
from cronq.render.table import Column, facts, table
from cronq.render.text import Tone, Word, count_of, plain
from cronq.render.times import iso, span
from cronq.schedule.zones import tzdata_version
from cronq.seat import Seats
from cronq.store import Totals
from cronq.store.postgres.nodes import LEASE_S, Node, QueueLine

_NODES = (
    Column("node"),
    Column("host", least=12),
    Column("pid", right=True, leaves=3),
    Column("does"),
    Column("queues", leaves=4, fair=20),
    Column("runs", right=True),
    Column("since", right=True, leaves=1),
    Column("last beat", right=True, leaves=5),
    Column("lease", right=True),
)
_QUEUES = (Column("queue"), Column("waiting", right=True), Column("oldest", right=True))


class _Cluster(NamedTuple):
    """All that is shown, of one instant by the database's clock."""

    now: Micros
    nodes: Sequence[Node]
    in_hand: dict[int, int]
    queues: Sequence[QueueLine]
    totals: Totals
    limited: int
    dead: frozenset[int]

    def is_live(self, node: Node) -> bool:
        """Return whether its lease stands, and it is not known to be dead."""
        return node.lease_until > self.now and node.id not in self.dead

    @property
    def schedulers(self) -> list[Node]:
        """Those that fire, and whose lease stands."""
        return [node for node in self.nodes if node.fires and self.is_live(node)]

    @property
    def slots(self) -> int:
        """Runs at a time, of all nodes whose lease stands."""
        return sum(node.slots for node in self.nodes if self.is_live(node))

    @property
    def unserved(self) -> list[str]:
        """Queues in which runs wait, and from which no node executes."""
        live = [node for node in self.nodes if self.is_live(node)]
        return [
            line.name
            for line in self.queues
            if not any(node.queues is None or line.name in node.queues.split() for node in live)
        ]


def answer_nodes(session: Session, *, check: bool) -> int:
    """Show it; the exit code is 1 if that is asked for and nobody fires."""
    cluster = _look(session)
    alive = bool(cluster.schedulers)
    if session.options.json:
        session.json(_document(session, cluster))
    elif session.options.quiet:
        session.line("running" if alive else "stopped")
    elif session.for_people:
        session.lines(facts(_pairs(session, cluster), session.terminal.style))
        if cluster.nodes:
            session.line()
            rows = [_node_row(node, cluster) for node in cluster.nodes]
            session.lines(table(_NODES, rows, session.terminal.style))
        if cluster.queues:
            session.line()
            session.lines(table(_QUEUES, _queue_rows(cluster), session.terminal.style))
    else:
        session.rows(["key", "value"], ([label, word.text] for label, word in _pairs(session, cluster)))
        nodes = ([word.text for word in _node_row(node, cluster)] for node in cluster.nodes)
        session.rows([column.title for column in _NODES], nodes)
        queues = ([word.text for word in row] for row in _queue_rows(cluster))
        session.rows([column.title for column in _QUEUES], queues)
    if not alive:
        session.hint("start a scheduler with `cronq run`")
    for name in cluster.unserved:
        session.hint(f"nobody executes what waits in the queue {name}: cronq worker --queue {name}")
    return int(ExitCode.FAILED if check and not alive else ExitCode.OK)


def _look(session: Session) -> _Cluster:
    from cronq.store.postgres.store import PostgresStore

    with session.store(read_only=True) as store:
        assert isinstance(store, PostgresStore)
        with store.reading():
            seats = Seats(session.place, store.ledger, session.environment.environ)
            nodes = store.nodes()
            return _Cluster(
                store.database_now(),
                nodes,
                store.in_hand(),
                store.queue_lines(),
                store.totals(),
                store.limited_jobs(),
                frozenset(node.id for node in nodes if seats.is_known_dead(node)),
            )


def _pairs(session: Session, cluster: _Cluster) -> list[tuple[str, Word]]:
    place, totals = session.place, cluster.totals
    hosts = {node.host for node in cluster.nodes}
    nodes = Word(f"{count_of(len(cluster.nodes), 'node')} on {count_of(len(hosts), 'host')}")
    schedulers = Word(f"{len(cluster.schedulers)} running")
    if not cluster.schedulers:
        schedulers = Word("none is running", Tone.YELLOW)
    busy = sum(cluster.in_hand.values())
    queue = f"{totals.queued} queued"
    if totals.oldest_queued_at is not None:
        queue += f", the oldest for {_ago(cluster.now, totals.oldest_queued_at)}"
    paused = f", {totals.paused} paused" if totals.paused else ""
    version = tzdata_version()
    return [
        ("schedulers", schedulers),
        ("nodes", nodes),
        ("slots", Word(f"{busy} of {cluster.slots} in use")),
        ("database", Word(f"{place.shown}  ({place.rule})")),
        ("jobs", Word(f"{totals.jobs}{paused}")),
        ("runs", Word(f"{totals.running} running, {queue}")),
        ("history", Word(history_kept(cluster.limited))),
        ("zone data", Word(f"{version.version} ({version.source}), of this host")),
    ]


def _node_row(node: Node, cluster: _Cluster) -> list[Word]:
    left_s = (node.lease_until - cluster.now) / SECOND
    lease = Word(f"{left_s:.0f}s left") if left_s > 0 else Word("ended", Tone.RED)
    if node.id in cluster.dead:
        lease = Word("dead", Tone.RED)
    elif 0 < left_s < LEASE_S / 3:
        lease = Word(lease.text, Tone.YELLOW)
    return [
        Word(str(node.id)),
        Word(plain(node.host)),
        Word(str(node.pid)),
        Word("fires, executes" if node.fires else "executes"),
        Word(node.queues or "all"),
        Word(f"{cluster.in_hand.get(node.id, 0)}/{node.slots}"),
        Word(_ago(cluster.now, node.started_at)),
        Word(f"{_ago(cluster.now, node.beat_at)} ago"),
        lease,
    ]


def _queue_rows(cluster: _Cluster) -> list[list[Word]]:
    return [
        [Word(line.name), Word(str(line.waiting)), Word(_ago(cluster.now, line.oldest_at))]
        for line in cluster.queues
    ]


def _ago(now: Micros, then: Micros) -> str:
    return span(max(0, now - then) / SECOND, units=2)


def _document(session: Session, cluster: _Cluster) -> dict[str, object]:
    place, totals = session.place, cluster.totals
    return {
        "scheduler": {"running": bool(cluster.schedulers), "count": len(cluster.schedulers)},
        "database": {"address": place.shown, "rule": place.rule, "exists": True},
        "nodes": [
            {
                "id": node.id,
                "host": node.host,
                "pid": node.pid,
                "fires": node.fires,
                "slots": node.slots,
                "running": cluster.in_hand.get(node.id, 0),
                "queues": None if node.queues is None else node.queues.split(),
                "version": node.version,
                "started_at": iso(node.started_at),
                "beat_at": iso(node.beat_at),
                "lease_until": iso(node.lease_until),
                "alive": cluster.is_live(node),
            }
            for node in cluster.nodes
        ],
        "queues": [
            {"name": line.name, "waiting": line.waiting, "oldest_at": iso(line.oldest_at)}
            for line in cluster.queues
        ],
        "totals": {
            "jobs": totals.jobs,
            "paused": totals.paused,
            "queued": totals.queued,
            "running": totals.running,
            "oldest_queued_at": iso(totals.oldest_queued_at),
        },
        "history": {"limited_jobs": cluster.limited},
        "tzdata": tzdata_version().version,
    }
