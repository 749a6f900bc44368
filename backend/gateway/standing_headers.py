"""How the caller's limits and budgets stand, as headers of every answer: `x-ratelimit-*` and `X-Budget-*`."""

from backend.budgets.accounts import Payer
from backend.budgets.keeper import BudgetKeeper
from backend.gateway.call import Call
from backend.kernel.errors import BourseError
from backend.kernel.header_lines import Header, Lines, pairs_of


class StandingHeaders:
    def __init__(self, keeper: BudgetKeeper) -> None:
        self._keeper = keeper

    def lines(self, call: Call) -> list[Lines]:
        """Limits as they were when the call was let in, budgets as they are now."""
        blocks = []
        if call.admission is not None:
            blocks.append(call.admission.lines)
            if call.admission.soft_quota is not None:
                blocks.append((b"x-bourse-quota-exceeded: %b\r\n" % call.admission.soft_quota.encode(), 1))
                if call.downgraded is not None:
                    blocks.append((b"x-bourse-downgraded: %b\r\n" % call.downgraded.encode(), 1))
        if call.lowered_cap:
            bound = call.bound or call.bounds[0]
            blocks.append((b"x-bourse-max-output-lowered: %d\r\n" % bound.cap, 1))
        headroom = self._keeper.headroom(call.payer)
        if headroom is not None:
            blocks.append(headroom.lines())
        return blocks

    def of_payer(self, payer: Payer) -> list[Header]:
        """How the tightest budget stands; nothing before the first call."""
        headroom = self._keeper.headroom(payer)
        return pairs_of(headroom.lines()) if headroom is not None else []

    def headers_beside(self, call: Call, error: BourseError) -> list[Header]:
        """As `lines`, without what the error says itself."""
        said = {name.lower().encode() for name in error.headers}
        return [header for block in self.lines(call) for header in pairs_of(block) if header[0] not in said]
