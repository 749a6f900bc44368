"""Browser profiles that are wiped and lent again: to begin one costs three times what it costs to open a page in it."""

from playwright.sync_api import Browser, Error, Page

BARE = "/favicon.svg"
"""A file of the site without a script."""


class Profile:
    """One person's browser: a context with one page, as somebody who was never anywhere has it."""

    def __init__(self, browser: Browser, **options: object) -> None:
        self.context = browser.new_context(**options)  # type: ignore[arg-type]
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(30_000)

    def wipe(self, origin: str) -> bool:
        """Forget all that was done at one site: what pages kept, cookies, other tabs, the way back. False if that is not possible."""
        try:
            for page in self.context.pages:
                if page is not self.page:
                    page.close()
            # Away from our own scripts first, which might write something while we delete.
            self.page.goto(origin + BARE)
            self.page.evaluate("localStorage.clear(); sessionStorage.clear()")
            self.page.goto("about:blank")
            self.context.clear_cookies()
            tools = self.context.new_cdp_session(self.page)
            tools.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
            tools.send("Page.resetNavigationHistory")
            tools.detach()
        except Error:  # the server has gone, or the page has
            return False
        return True


class Profiles:
    """Those of one browser."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self._waiting: dict[str, list[Profile]] = {}

    def lend(self, theme: str, width: int, before: str = "") -> Profile:
        """Its pages run the script `before` first, which cannot be taken out again: it is lent to those alone who want the same."""
        waiting = self._waiting.setdefault(before, [])
        if waiting:
            profile = waiting.pop()
        else:
            profile = Profile(self.browser)
            if before:
                profile.page.add_init_script(before)
        profile.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        profile.page.set_viewport_size({"width": width, "height": 900})
        return profile

    def special(self, theme: str, width: int, **options: object) -> Profile:
        """One with options of Playwright's, to be closed after use."""
        return Profile(self.browser, color_scheme=theme, viewport={"width": width, "height": 900}, **options)

    def take_back(self, profile: Profile, origin: str, before: str = "") -> None:
        if profile.wipe(origin):
            self._waiting[before].append(profile)
        else:
            profile.context.close()
