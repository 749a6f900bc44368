"""Who has an account in the installations of these tests, and how they sign in."""

from typing import TYPE_CHECKING

from playwright.sync_api import Page

if TYPE_CHECKING:
    from tests.ui.conftest import Visitor

EMAIL, PASSWORD = "ann@example.org", "correct horse battery"
"""Of the one super admin, who owns the demo tenant, too."""
SPENT = "bob@example.org"
"""Of somebody in the demo tenant with the same password, who may be given a budget of his own."""
NAMED = "https://app.example.org"
"""An origin whose pages may call."""
ADMIN = f'{{email: {EMAIL}, password: "{PASSWORD}", name: "Ann <b>Other</b>"}}'
CONFIGURATION = f"bootstrap: {{admin_users: [{ADMIN}]}}\n"
BOTH = (
    f'bootstrap: {{admin_users: [{ADMIN}, {{email: {SPENT}, password: "{PASSWORD}", name: Bob}}], '
    f"memberships: [{{tenant: demo, email: {SPENT}, role: member}}]}}\n"
    f"server: {{cors_origins: [{NAMED}]}}\n"
)


def fill_and_sign_in(page: Page, password: str = PASSWORD, email: str = EMAIL) -> None:
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()


def signed_in(visitor: "Visitor", path: str = "/usage", email: str = EMAIL) -> Page:
    page = visitor.open(f"/sign-in?next={path}")
    fill_and_sign_in(page, email=email)
    page.wait_for_url(f"**{path}")
    visitor.settled()
    return page
