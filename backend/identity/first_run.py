"""The first start: where the operator finds the one-time link to make himself the first admin."""

from typing import TextIO

from backend.identity.service import IdentityService


async def announce_setup(identity: IdentityService, base_url: str, console: TextIO) -> bool:
    """Write the setup link to the console if nobody has an account yet; whether it was written.

    The token is in the fragment, which browsers send to nobody. It goes to the console and never into the log, which may be shipped.
    """
    token = await identity.open_setup()
    if token is None:
        return False
    lines = (
        "Nobody has an account here yet. Make yourself the first admin:",
        "",
        f"  {base_url.rstrip('/')}/setup#token={token}",
        "",
        "The link works once. A restart prints a new one while nobody has used it.",
    )
    width = max(len(line) for line in lines)
    console.write("\n" + "-" * width + "\n" + "\n".join(lines) + "\n" + "-" * width + "\n\n")
    console.flush()
    return True
