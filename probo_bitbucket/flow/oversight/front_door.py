"""Front door: whether what is sent to the public URL comes in here, as far as that can be told from here."""

from __future__ import annotations

from uuid import uuid4

from attrs import define
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.bitbucket.payloads import PROBE
from probo_bitbucket.bitbucket.signature import sign
from probo_bitbucket.errors import Temporary
from probo_bitbucket.flow.deliveries.signatures import Signatures
from probo_bitbucket.flow.oversight.inspection import NO_PUBLIC_URL, SET_PUBLIC_URL
from probo_bitbucket.flow.oversight.verdict import Verdict
from probo_bitbucket.store import Database, hooks
from probo_bitbucket.upstream import Answer, Upstream

SUBJECT = "public URL"

_BODY = b"{}"
_LISTEN = "let it, or the proxy there, pass the path on to this daemon"
_ANSWERS = {
    401: ("refuses our signature", "another daemon is there, or something on the way changes the body"),
    403: (
        "refuses this machine",
        "that proves nothing where webhookNetworks or a firewall lets only Bitbucket in: try hooks test",
    ),
    404: ("does not know the path", "compare publicUrl and bbWebhookUrl with what the proxy passes on"),
    502: ("is a proxy that does not reach the daemon", "correct the address that it passes requests on to"),
    504: ("is a proxy that does not reach the daemon", "correct the address that it passes requests on to"),
}


@define(eq=False)
class FrontDoor:
    """*url* is that of the webhook, "" where the settings do not say."""

    upstream: Upstream
    store: Database
    signatures: Signatures
    clock: IReactorTime
    url: str

    async def try_it(self) -> Verdict:
        """Post a signed delivery that asks for nothing to ourselves. Raises StoreUnavailable."""
        if not self.url:
            return Verdict.warning(SUBJECT, NO_PUBLIC_URL, SET_PUBLIC_URL)
        before, began = await self.store.transact(hooks.newest_delivery), self.clock.seconds()
        request = str(uuid4())
        try:
            answer = await self._post(request)
        except Temporary as error:
            return Verdict.wrong(SUBJECT, str(error), _advice(str(error)))
        if answer.status != 200:
            return self._refused(answer)
        if not await self.store.transact(hooks.arrived_after, before, request):
            return Verdict.wrong(SUBJECT, f"{self.url} answers, but it is not this daemon", _LISTEN)
        return Verdict.ok(SUBJECT, f"{self.url} leads here, {self.clock.seconds() - began:.1f} s")

    async def _post(self, request: str) -> Answer:
        headers: dict[str | bytes, str | bytes] = {"X-Event-Key": PROBE, "X-Request-UUID": request}
        if secret := await self.signatures.any():
            headers["X-Hub-Signature"] = sign(secret, _BODY)
        return await self.upstream.request("POST", self.url, headers=headers, json={})

    def _refused(self, answer: Answer) -> Verdict:
        if 300 <= answer.status < 400:
            elsewhere = f"redirects to {answer.header('location')[:200]}"
            return Verdict.wrong(
                SUBJECT, f"{self.url} {elsewhere}", "Bitbucket follows no redirect: set publicUrl there"
            )
        what, advice = _ANSWERS.get(answer.status, ("is not what it should be", _LISTEN))
        tell = Verdict.warning if answer.status == 403 else Verdict.wrong
        return tell(SUBJECT, f"{self.url} answers {answer.status}: it {what}", advice)


def _advice(trouble: str) -> str:
    if "certificate" in trouble or "Mismatch" in trouble or "SSL" in trouble:
        return "TLS: install a certificate for this name, with its whole chain, from an authority that Bitbucket trusts"
    if "DNS" in trouble:
        return "give the name an address in the DNS, or correct publicUrl"
    return "start the proxy there, or open the firewall; from this machine alone it may also be unreachable"
