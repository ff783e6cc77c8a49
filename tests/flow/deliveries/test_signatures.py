"""Which secrets count, on the node that made them and on the others."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from probo_bitbucket.bitbucket.signature import sign
from probo_bitbucket.flow.deliveries.signatures import AGE_OF_DOUBT, BadSignature, Doubtful, Signatures
from probo_bitbucket.store import hooks
from tests.immediate import ImmediateStore, run

BODY = b"{}"


def test_what_fits_no_secret_is_refused_for_good_only_when_the_store_was_asked_since(
    store: ImmediateStore, clock: Clock
) -> None:
    other_node = Signatures(("c4n4ry-swordfish",), store, clock, shared=True)
    run(other_node.check(BODY, sign("c4n4ry-swordfish", BODY)))
    clock.advance(AGE_OF_DOUBT / 2)
    _, made_elsewhere = store.now(hooks.new_secret, clock.seconds())
    with pytest.raises(Doubtful):
        run(other_node.check(BODY, sign(made_elsewhere, BODY)))
    with pytest.raises(BadSignature):
        run(other_node.check(BODY, "sha256=nonsense"))
    with pytest.raises(BadSignature):
        run(other_node.check(BODY, None))
    clock.advance(AGE_OF_DOUBT / 2)
    run(other_node.check(BODY, sign(made_elsewhere, BODY)))
    clock.advance(AGE_OF_DOUBT)
    with pytest.raises(BadSignature):
        run(other_node.check(BODY, sign("wrong", BODY)))


def test_nothing_counts_as_signed_while_there_is_no_secret(store: ImmediateStore, clock: Clock) -> None:
    signatures = Signatures((), store, clock)
    assert not run(signatures.check(BODY, sign("c4n4ry-swordfish", BODY)))
    assert not run(signatures.check(BODY, None))
    _, made = store.now(hooks.new_secret, clock.seconds())
    signatures.read_again()
    assert run(signatures.check(BODY, sign(made, BODY)))


def test_a_secret_that_was_made_here_counts_at_once(store: ImmediateStore, clock: Clock) -> None:
    signatures = Signatures(("c4n4ry-swordfish",), store, clock)
    run(signatures.check(BODY, sign("c4n4ry-swordfish", BODY)))
    _, made = store.now(hooks.new_secret, clock.seconds())
    signatures.read_again()
    run(signatures.check(BODY, sign(made, BODY)))
