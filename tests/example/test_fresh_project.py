"""The three steps of the README, in a new project that makes them as hard as a host may.

A custom user model with a UUID key, ``ATOMIC_REQUESTS``, a prefix before the URLs, and
``LoginRequiredMiddleware``; the steps are read from the README, and Medblocks is the sandbox.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from medblocks_connect.sandbox.fictional_catalog import all_facilities
from tests.example.demo import ROOT, clean_environment

README = (ROOT / "README.md").read_text(encoding="utf-8")
FACILITY = next(place for place in all_facilities() if place.name == "Riverside General")

USER_MODEL = """
import uuid
from django.contrib.auth.models import AbstractUser
from django.db import models

class User(AbstractUser):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
"""

HOST_SETTINGS = """
INSTALLED_APPS += ["people"]
AUTH_USER_MODEL = "people.User"
DATABASES["default"]["ATOMIC_REQUESTS"] = True
MIDDLEWARE += ["django.contrib.auth.middleware.LoginRequiredMiddleware"]
LOGIN_URL = "/admin/login/"
ALLOWED_HOSTS = ["127.0.0.1"]
"""

SANDBOX_SETTINGS = """
INSTALLED_APPS += ["medblocks_connect.sandbox"]
MEDBLOCKS_CONNECT["BASE_URL"] = "http://127.0.0.1:{port}/medblocks-sandbox"
"""

SANDBOX_URLS = """
urlpatterns += [path("medblocks-sandbox/", include("medblocks_connect.sandbox.urls"))]
"""

CREATE_USER = """
from django.contrib.auth import get_user_model
get_user_model().objects.create_user("pat", password="pat", is_staff=True)
"""


def read_step(language: str, file: str) -> str:
    """Return the README's code block that begins with a comment naming ``file``."""
    block = re.search(rf"```{language}\n# {re.escape(file)}\n(.*?)```", README, re.DOTALL)
    assert block, f"the README has no step for {file}"
    return block[1]


class Project:
    """A project made by ``django-admin startproject``, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = clean_environment(MEDBLOCKS_API_KEY="mb_sk_sbx_only_for_tests")
        self.run("-m", "django", "startproject", "host", ".")
        self.run("-m", "django", "startapp", "people")
        (folder / "people" / "models.py").write_text(USER_MODEL)
        self.settings = folder / "host" / "settings.py"
        self.urls = folder / "host" / "urls.py"
        append(self.settings, HOST_SETTINGS)
        self.run("manage.py", "makemigrations", "people")

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def follow_readme(self) -> None:
        append(self.settings, read_step("python", "settings.py"))
        step = read_step("python", "urls.py")
        append(self.urls, step.replace('path("records/"', 'path("my/own/prefix/records/"'))

    def serve(self, port: int) -> subprocess.Popen[bytes]:
        append(self.settings, SANDBOX_SETTINGS.format(port=port))
        append(self.urls, SANDBOX_URLS)
        self.run("manage.py", "migrate")
        self.run("manage.py", "shell", "--no-imports", "-c", CREATE_USER)
        return subprocess.Popen(
            [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def append(file: Path, text: str) -> None:
    file.write_text(file.read_text() + "\n" + text)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("fresh"))
    project.follow_readme()
    return project


@pytest.fixture(scope="module")
def url(project, free_port):
    server = project.serve(free_port)
    address = f"http://127.0.0.1:{free_port}"
    try:
        wait_until_served(address)
        yield f"{address}/my/own/prefix/records"
    finally:
        server.terminate()
        server.wait(timeout=10)


def wait_until_served(address: str) -> None:
    deadline = time.monotonic() + 30
    while not is_served(address):
        assert time.monotonic() < deadline, "the fresh project does not serve"
        time.sleep(0.1)


def is_served(address: str) -> bool:
    try:
        return requests.get(f"{address}/medblocks-sandbox/health", timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.fixture
def browser(url):
    with requests.Session() as browser:
        login = browser.get(f"{url}/search/", timeout=10)
        fields = {"username": "pat", "password": "pat"}
        assert submit(browser, login, login.url, **fields).url == f"{url}/search/"
        yield browser


def submit(browser, page, address, **fields):
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert token, page.text
    return browser.post(address, data={**fields, "csrfmiddlewaretoken": token[1]}, timeout=30)


def connect(browser, url, choice):
    results = browser.get(f"{url}/search/", params={"q": "riverside"}, timeout=10)
    assert FACILITY.name in results.text
    portal = submit(browser, results, f"{url}/start/", connection_id=FACILITY.id)
    consent = submit(browser, portal, f"{portal.url}/sign-in")
    return submit(browser, consent, f"{portal.url}/decision", choice=choice)


def test_fresh_project_passes_checks(project):
    assert "no issues" in project.run("manage.py", "check", "--fail-level", "INFO")


def test_fresh_project_sends_visitor_to_sign_in(url):
    answer = requests.get(f"{url}/search/", allow_redirects=False, timeout=10)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/admin/login/?next=")


def test_fresh_project_approve_connects(browser, url):
    outcome = connect(browser, url, "approve")
    assert "You are connected" in outcome.text
    assert re.fullmatch(rf"{re.escape(url)}/attempts/[\w-]{{32}}/", outcome.url)


def test_fresh_project_cancel_says_that_nothing_has_changed(browser, url):
    connect(browser, url, "approve")
    outcome = connect(browser, url, "cancel")
    assert "Nothing has changed. You are still connected to" in outcome.text
    assert "user_denied" not in outcome.text
