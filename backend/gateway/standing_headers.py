"""How the caller's limits and budgets stand, as headers of every answer: `x-ratelimit-*` and `X-Budget-*`."""

from backend.budgets.accounts import Payer
from backend.budgets.keeper import BudgetKeeper
from backend.gateway.call import Call
from backend.gateway.facts import Header
from backend.kernel.errors import BourseError


class StandingHeaders:
    def __init__(self, keeper: BudgetKeeper) -> None:
        self._keeper = keeper

    def headers(self, call: Call) -> list[Header]:
        """Limits as they were when the call was let in, budgets as they are now."""
        headers = list(call.admission.headers) if call.admission is not None else []
        if call.admission is not None and call.admission.soft_quota is not None:
            headers.append((b"x-bourse-quota-exceeded", call.admission.soft_quota.encode()))
        if call.lowered_cap:
            bound = call.bound or call.bounds[0]
            headers.append((b"x-bourse-max-output-lowered", b"%d" % bound.cap))
        headers += self.of_payer(call.payer)
        return headers

    def of_payer(self, payer: Payer) -> list[Header]:
        """How the tightest budget stands; nothing before the first call."""
        headroom = self._keeper.headroom(payer)
        return headroom.wire_headers() if headroom is not None else []

    def headers_beside(self, call: Call, error: BourseError) -> list[Header]:
        """As `headers`, without what the error says itself."""
        said = {name.lower().encode() for name in error.headers}
        return [header for header in self.headers(call) if header[0] not in said]
