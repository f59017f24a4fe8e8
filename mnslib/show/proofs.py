"""What was proven of a namespace, as tables: what was tried, and who may do what.

Which states and rights there are comes from `provisioning.proof` and `rights`.
"""

from mnslib.models import ROLE_NAMES
from mnslib.provisioning.proof import Proven
from mnslib.provisioning.rights import RIGHTS, Held
from mnslib.resource_ids import ManagedNamespaceId
from mnslib.show.displays import Cell, Column, Parts, Stack, Table, tag
from mnslib.show.tables import told
from mnslib.show.templates import sentence
from mnslib.show.views import view

MOST_PRINCIPALS = 5
"""Columns of the table of rights; our choice, what a page holds."""


def proof_report(namespace: ManagedNamespaceId, proven: Proven) -> Stack:
    """Return what was tried, then what each principal may do, as far as it is known."""
    name = namespace.namespace_name
    tried = view("proof", [{"state": one.state, "proof": one} for one in proven.proofs], of=name)
    shown = list(proven.rights)[:MOST_PRINCIPALS]
    rights = Table(
        columns=[Column(f"May in {name}", header=True), *shown],
        rows=[
            [right.name, *(_answer(proven.rights[who][place]) for who in shown)]
            for place, right in enumerate(RIGHTS)
        ],
        note=sentence("plans.txt.j2", "rights", shown, len(proven.rights)),
    )
    return Stack([tried, rights if shown else None])


def _answer(held: Held) -> Cell:
    words = {None: tag("unknown"), True: tag("yes"), False: tag("none", "no")}
    roles = ROLE_NAMES | told("roles")
    by = {roles.get(one.role_guid, one.role_guid): one.scope.count("/") for one in held.by}
    return Parts([words[held.is_known]], sentence("plans.txt.j2", "held", held, by))
