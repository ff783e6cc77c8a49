"""Reading `.probo.yaml`: what is asked of Bitbucket, and what an author is told."""

from __future__ import annotations

from typing import Any

from probo_bitbucket.sandbox.commits import File, FileKind
from probo_bitbucket.sandbox.faults import HTML, Answer, Cut, Effect, Fault, Hang, Slow, Truncated
from probo_bitbucket.sandbox.pullrequest import PullRequest
from probo_bitbucket.sandbox.statuses import BuildStatus
from tests.staged import StageTestCase

STEPS = b"steps: [{name: Hello, command: echo hi}]\n"
SPELLINGS = (
    ".probo.yaml",
    ".probo.yml",
    "probo.yaml",
    "probo.yml",
    ".proviso.yaml",
    ".proviso.yml",
    "proviso.yaml",
    "proviso.yml",
)


class ConfigurationReading(StageTestCase):
    def ask(self, files: dict[str, File | bytes]) -> PullRequest:
        """A pull request of a repository with nothing but *files*."""
        repository = self.cloud.add_repository("acme/bare", files)
        self.stage.watch("acme/bare")
        return repository.open_pull_request(files={"x": b"x"})

    async def advice(self, files: dict[str, File | bytes]) -> str:
        """What the author is told in a FAILED status under `ProboCI/env`, in place of a build."""
        pull_request = self.ask(files)
        await self.decided(1)
        await self.until(pull_request.shown)
        await self.settled()
        (status,) = pull_request.shown()
        assert (status.key, str(status.state)) == ("ProboCI/env", "FAILED")
        assert self.started() == []
        return str(status.description)

    async def test_a_build_takes_one_request_for_its_configuration_and_one_for_its_commit(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.built(pull_request)
        api = [each.path.partition("/acme/site/")[2] for each in self.asked("/2.0/")]
        short = pull_request.commit[:12]
        assert sorted(api) == [f"commit/{short}", f"src/{short}/.probo.yaml"]

    async def test_the_commit_is_resolved_beside_the_reading_and_not_before_it(self) -> None:
        self.cloud.faults.add(Fault(Slow(0.2), ".*/commit/.*"))
        self.repository.open_pull_request()
        await self.until(lambda: self.asked("/src/"))
        assert self.asked("/commit/")[0].status is None
        await self.settled()

    async def test_every_spelling_is_found_and_sent_as_written(self) -> None:
        for number, spelling in enumerate(SPELLINGS):
            name = f"acme/number-{number}"
            repository = self.cloud.add_repository(name, {spelling: STEPS})
            self.stage.watch(name)
            await self.built(repository.open_pull_request(files={"x": b"x"}))
        assert len(self.started()) == len(SPELLINGS)
        for document in self.started():
            assert document["build"]["config"] == {"steps": [{"name": "Hello", "command": "echo hi"}]}

    async def test_the_first_spelling_wins(self) -> None:
        second = STEPS.replace(b"Hello", b"Second")
        states = await self.built(self.ask({"proviso.yml": second, ".probo.yml": STEPS, "probo.yaml": second}))
        assert states == {"ProboCI/env": "SUCCESSFUL", "ProboCI/Shell/Hello": "SUCCESSFUL"}

    async def test_a_missing_file_is_said_to_be_missing(self) -> None:
        advice = await self.advice({})
        assert advice.startswith("This commit has no .probo.yaml")
        assert advice.endswith("Add a .probo.yaml with the steps of the build and push again.")

    async def test_a_folder_of_that_name_is_no_configuration(self) -> None:
        assert "no .probo.yaml" in await self.advice({"probo.yaml/inside": b"x"})

    async def test_bad_yaml_is_told_with_line_and_column(self) -> None:
        advice = await self.advice({".probo.yaml": b"steps:\n  - name: [\n"})
        assert ".probo.yaml line 3, column 1" in advice

    async def test_a_tab_is_told_with_line_and_column(self) -> None:
        assert ".probo.yaml line 2, column" in await self.advice({".probo.yaml": b"steps:\n\t- name: a\n"})

    async def test_an_empty_file_is_told(self) -> None:
        assert ".probo.yaml is empty" in await self.advice({".probo.yaml": b"# nothing yet\n"})

    async def test_a_list_is_told_to_be_no_mapping(self) -> None:
        assert ".probo.yaml is a list where a mapping is needed" in await self.advice({".probo.yaml": b"- a\n"})

    async def test_an_empty_step_is_told_by_its_number(self) -> None:
        assert "Step 2 in .probo.yaml is empty" in await self.advice({".probo.yaml": b"steps: [{name: a}, null]\n"})

    async def test_a_symbolic_link_is_told(self) -> None:
        files: dict[str, File | bytes] = {
            ".probo.yaml": File(b"ci/probo.yaml", FileKind.SYMLINK),
            "ci/probo.yaml": STEPS,
        }
        assert "symbolic link to ci/probo.yaml" in await self.advice(files)

    async def test_a_file_in_git_lfs_is_told_and_no_credentials_go_to_the_other_host(self) -> None:
        assert "Git LFS" in await self.advice({".probo.yaml": File(STEPS, FileKind.LFS)})
        assert self.asked("/lfs/") == []

    async def test_a_file_that_is_not_text_is_told(self) -> None:
        assert ".probo.yaml line 2 is not UTF-8" in await self.advice({".probo.yaml": b"steps:\n  - \xff\xfe\n"})

    async def test_a_file_that_unfolds_to_something_huge_is_told(self) -> None:
        bomb = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
            b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (name, name, *([name - 1] * 9))
            for name in range(ord("b"), ord("j"))
        )
        assert ".probo.yaml" in await self.advice({".probo.yaml": bomb})

    async def test_the_status_links_to_a_page_and_names_the_branch(self) -> None:
        await self.advice({})
        (status,) = self.cloud.repositories["acme/bare"].pull_requests[1].shown()
        assert status.url == f"{self.cloud.url}/acme/bare/pull-requests/1"
        assert status.refname == "feature/change"

    async def test_a_passing_trouble_with_the_file_is_never_told_as_a_missing_file(self) -> None:
        await self.built_in_spite_of(".*/src/.*")

    async def test_a_passing_trouble_with_the_listing_is_never_told_as_a_missing_file(self) -> None:
        await self.built_in_spite_of(".*/src/[0-9a-f]+/", {"probo.yml": STEPS})

    async def test_a_passing_trouble_with_the_commit_delays_the_build(self) -> None:
        await self.built_in_spite_of(".*/commit/[0-9a-f]+")

    async def built_in_spite_of(self, path: str, files: Any = None) -> None:
        self.cloud.repositories.pop("acme/bare", None)
        troubles: tuple[Effect, ...] = (
            Answer(500, b"<html>Oops</html>", HTML),
            Answer(503),
            Answer(555),
            Answer(429, b"{}"),
            Answer(401),
            Truncated(),
            Cut(),
            Hang(),
        )
        for trouble in troubles:
            self.cloud.faults.add(Fault(trouble, path, "GET", times=1))
        pull_request = self.ask(files or {".probo.yaml": STEPS})
        states = await self.built(pull_request)
        assert states == {"ProboCI/env": "SUCCESSFUL", "ProboCI/Shell/Hello": "SUCCESSFUL"}
        assert {str(status.state) for status in self.history("ProboCI/env")} == {"INPROGRESS", "SUCCESSFUL"}

    def history(self, key: str) -> list[BuildStatus]:
        """All statuses that the key ever showed on Bitbucket."""
        histories = self.cloud.repositories["acme/bare"].statuses.items()
        return [status for (_, name), history in histories if name == key for status in history]

    async def test_html_in_place_of_the_commit_delays_the_build(self) -> None:
        self.cloud.faults.add(Fault(Answer(200, b"<html>Maintenance</html>", HTML), ".*/commit/[0-9a-f]+", times=2))
        assert set((await self.built(self.repository.open_pull_request())).values()) == {"SUCCESSFUL"}

    async def test_mended_yaml_is_built_and_the_old_failure_does_not_stay_on_the_new_commit(self) -> None:
        pull_request = self.ask({".probo.yaml": b"- a\n"})
        await self.until(pull_request.shown)
        pull_request.push({".probo.yaml": STEPS})
        states = await self.built(pull_request)
        assert set(states.values()) == {"SUCCESSFUL"}

    async def test_what_yaml_1_1_reads_otherwise_reaches_the_container_manager_as_the_node_handlers_sent_it(
        self,
    ) -> None:
        text = b"a: 8.1\nb: on\nc: 0755\nd: 2026-11-22\ne: yes\nf: ~\ng: &x {k: v}\nh: *x\nsteps: []\n"
        await self.built(self.ask({".probo.yaml": text}))
        (document,) = self.started()
        assert document["build"]["config"] == {
            "a": 8.1,
            "b": "on",
            "c": 493,
            "d": "2026-11-22T00:00:00.000Z",
            "e": "yes",
            "f": None,
            "g": {"k": "v"},
            "h": {"k": "v"},
            "steps": [],
        }
