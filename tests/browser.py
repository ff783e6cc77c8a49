"""A real browser, Debian's Chromium without a window, and pictures of what it shows in `test-output/`."""

from __future__ import annotations

import base64
import os
import shutil
from pathlib import Path
from typing import Any
from unittest import SkipTest

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"  # npm ci --prefix tests
OUTPUT = Path(__file__).parent.parent / "test-output"
WIDTHS = (1280, 400)  # pixels
PATIENCE = 20.0  # seconds


class Browser:
    """Blocks while a page loads: use it in a thread. Raises SkipTest without Chromium, AssertionError in CI."""

    def __init__(self, *, javascript: bool = True, dark: bool = False) -> None:
        chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
        if chromium is None or driver is None:
            assert not os.environ.get("CI"), "chromium and chromedriver are needed"
            raise SkipTest("chromium and chromedriver are not installed")
        self._driver = webdriver.Chrome(_options(chromium), Service(driver))
        self._javascript = javascript
        self._let_pages_run_scripts(javascript)
        self._dark = dark
        self.show_at(WIDTHS[0])

    def close(self) -> None:
        self._driver.quit()

    @property
    def url(self) -> str:
        return self._driver.current_url

    @property
    def text(self) -> str:
        """What the page says."""
        return self.find("body").text

    @property
    def source(self) -> str:
        """The page in HTML."""
        return self._driver.page_source

    @property
    def cookies(self) -> list[dict[str, object]]:
        return self._driver.get_cookies()

    def open(self, url: str) -> None:
        self._driver.get(url)

    def find(self, selector: str) -> WebElement:
        return self._driver.find_element(By.CSS_SELECTOR, selector)

    def find_all(self, selector: str) -> list[WebElement]:
        return self._driver.find_elements(By.CSS_SELECTOR, selector)

    def described(self, term: str) -> str:
        """What stands beside *term* in a list of descriptions."""
        return self._await(f"//dt[normalize-space()='{term}']/following-sibling::dd").text

    def labelled(self, label: str) -> WebElement:
        """The field that a label belongs to."""
        named = self._await(f"//label[normalize-space()='{label}']").get_attribute("for")
        return self.find(f"[id='{named}']")

    def choose(self, label: str, option: str) -> None:
        """Choose what reads *option* in the list of that label."""
        Select(self.labelled(label)).select_by_visible_text(option)

    def press(self, name: str) -> None:
        """Press the button, follow the link or open the details that read *name*."""
        self._pressable(name).click()

    def submit(self, name: str) -> None:
        """Press the button of a form that reads *name*, and wait until the answer replaces the page."""
        button = self._pressable(name)
        button.click()
        self._wait().until(staleness_of(button), f"{name!r} was to lead elsewhere")

    def _pressable(self, name: str) -> WebElement:
        return self._await(f"//*[self::button or self::a or self::summary][normalize-space()='{name}']")

    def _await(self, path: str) -> WebElement:
        """What an XPath leads to. Pressing a button does not always wait for the page that it leads to."""
        return self._wait().until(lambda driver: driver.find_element(By.XPATH, path), f"{path} was waited for")

    def _wait(self) -> WebDriverWait[webdriver.Chrome]:
        """Nothing can be read of a page that is just being replaced, which the driver tells in a dozen ways."""
        return WebDriverWait(self._driver, PATIENCE, ignored_exceptions=[WebDriverException])

    def run(self, script: str) -> Any:
        """What a script returns that is run in the page."""
        return self._driver.execute_script(script)

    def focus(self) -> str:
        """What the element reads that has the focus."""
        return str(self.run("return document.activeElement.textContent || document.activeElement.id").strip())

    def type(self, keys: str) -> None:
        """Press keys, as they are named by selenium, wherever the focus is."""
        ActionChains(self._driver).send_keys(keys).perform()

    def show(self, *, dark: bool) -> None:
        """Prefer dark or light from now on, and show the page in it."""
        self._dark = dark
        self.show_at(WIDTHS[0])

    def violations(self) -> list[str]:
        """What axe-core finds against accessibility in the page: rule, what is wrong, and where.

        Raises SkipTest where axe-core is not installed, AssertionError in CI.
        """
        if not AXE.exists():
            assert not os.environ.get("CI"), "axe-core is needed: npm ci --prefix tests"
            raise SkipTest("axe-core is not installed: npm ci --prefix tests")
        self._let_pages_run_scripts(True)  # those of the page itself run when it is loaded, or not at all
        self.run(AXE.read_text())
        found = self._driver.execute_async_script("axe.run().then(arguments[arguments.length - 1])")["violations"]
        self._let_pages_run_scripts(self._javascript)
        return [f"{each['id']}: {each['help']}: {[node['html'] for node in each['nodes']]}" for each in found]

    def _let_pages_run_scripts(self, allowed: bool) -> None:
        self._driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not allowed})

    def look(self, name: str) -> None:
        """Keep pictures of the page, light and dark, and have its accessibility checked in both, in every width."""
        was_dark = self._dark
        for dark in (False, True):
            self.show(dark=dark)
            self.picture(f"{name}{'-dark' if dark else ''}")
            for width in WIDTHS:
                self.show_at(width)
                violations = self.violations()
                assert not violations, (name, dark, width, violations)
        self.show(dark=was_dark)

    def await_text(self, text: str) -> None:
        """Wait until the page says *text*."""
        self._wait().until(lambda _: text in self.text, f"{text!r} was waited for")

    def reload_until_gone(self, text: str) -> None:
        """Load the page until it does not say *text* any more."""

        def gone(_driver: object) -> bool:
            self._driver.refresh()
            return text not in self.text

        self._wait().until(gone, f"{text!r} stays")

    def picture(self, name: str) -> None:
        """Keep the whole page as a picture in every width; AssertionError where it has to be scrolled sideways."""
        OUTPUT.mkdir(exist_ok=True)
        for width in WIDTHS:
            self.show_at(width)
            page = self._driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
            assert page["width"] <= width, f"{name} is {page['width']} pixels wide at {width}"
            shot = self._driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
            (OUTPUT / f"{name}-{width}.png").write_bytes(base64.b64decode(shot["data"]))
        self.show_at(WIDTHS[0])

    def show_at(self, width: int) -> None:
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if self._dark else "light"}
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def _options(chromium: str) -> webdriver.ChromeOptions:
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new",
        "--disable-gpu",
        "--hide-scrollbars",
        "--no-proxy-server",
        "--disable-dev-shm-usage",
    ):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's own does not work for root
    return options
