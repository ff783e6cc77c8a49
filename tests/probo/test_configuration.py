"""What `.probo.yaml` means, and what its author is told."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from probo_bitbucket.probo.configuration import (
    LARGEST_FILE,
    LONGEST_ADVICE,
    SPELLINGS,
    Configuration,
    ConfigurationError,
    missing,
    read,
    steps_that_run,
)

USUAL = b"""\
image: proboci/ubuntu-18.04-lamp:php-8.1
assets:
  - db.sql.gz
steps:
  - name: Hello
    command: echo hi
  - name: Site
    plugin: Drupal
    phpVersion: 8.1
    fileMode: 0755
    restartApache: on
"""
PIECES = [
    *(b"a", b"1", b"0x", b".e", b"2001-12-14", b"9999-99-99", b"steps", b"<<", b"\\ud83d", b"\\U", b"\\0"),
    *(b": ", b"? ", b"- ", b"[", b"{", b"]", b"}", b",", b"&a ", b"*a", b"!", b"!!set ", b"!!binary ", b"%YAML 1."),
    *(b"\n", b"\r", b"\t", b"  ", b"#", b"---", b"...", b"|", b">", b"'", b'"'),
    *(b"\xff", b"\x00", b"\xe2\x80\xa8", b"\xef\xbb\xbf"),
]


def advice(content: bytes) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(content, ".probo.yaml")
    assert str(caught.value) == caught.value.advice
    return caught.value.advice


def test_the_document_is_what_the_node_handlers_would_send() -> None:
    assert read(USUAL, ".probo.yml") == Configuration(
        {
            "image": "proboci/ubuntu-18.04-lamp:php-8.1",
            "assets": ["db.sql.gz"],
            "steps": [
                {"name": "Hello", "command": "echo hi"},
                {"name": "Site", "plugin": "Drupal", "phpVersion": 8.1, "fileMode": 493, "restartApache": "on"},
            ],
        },
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a: 1\nb: c: d\n", ".probo.yaml line 2, column 5: mapping values are not allowed here. "
                             "Mend the YAML and push again."),
        (b"a: 1\na: 2\n", ".probo.yaml line 2, column 1: duplicated mapping key 'a'. Mend the YAML and push again."),
        (b"a: 1\n---\nb: 1\n", ".probo.yaml line 2, column 1: a second document starts here. "
                               "Mend the YAML and push again."),
        (b"a: 1\nb: \xff\n", ".probo.yaml line 2 is not UTF-8. Save the file as UTF-8 and push again."),
        (b"", ".probo.yaml is empty. Write the steps of the build into it and push again."),
        (b"# nothing\n", ".probo.yaml is empty. Write the steps of the build into it and push again."),
        (b"~", ".probo.yaml is empty. Write the steps of the build into it and push again."),
        (b"- name: Hello\n", ".probo.yaml is a list where a mapping is needed. "
                             "Write `steps:` and below it a list of steps, and push again."),
        (b"12\n", ".probo.yaml is a number where a mapping is needed. "
                  "Write `steps:` and below it a list of steps, and push again."),
        (b"config/probo.yaml", ".probo.yaml seems to be a symbolic link to config/probo.yaml. "
                               "Commit the file itself in its place and push again."),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
         ".probo.yaml is in Git LFS, only a pointer to it can be read. Commit the file itself and push again."),
        (b"steps: echo hi\n", "`steps` in .probo.yaml is a text. Make it a list of steps and push again."),
        (b"steps: [{command: echo}, ~]\n", "Step 2 in .probo.yaml is empty. Complete or remove it and push again."),
        (b"#" * (LARGEST_FILE + 1), ".probo.yaml has more than 131072 bytes. Shorten it and push again."),
    ],
)  # fmt: skip
def test_the_author_is_told_what_to_do(content: bytes, expected: str) -> None:
    assert advice(content) == expected


def test_advice_fits_a_build_status_however_long_the_file_makes_it() -> None:
    told = advice(b"dir/" + b"x" * 1000)
    assert len(told) == LONGEST_ADVICE
    assert told.endswith("…. Commit the file itself in its place and push again.")


@pytest.mark.parametrize(
    ("content", "warnings"),
    [
        (b"Steps: [{command: a}]", ("`Steps` is ignored: write `steps`.", "There are no steps: nothing will run.")),
        (b"steps: [{command: a}]\nAssets: [b]", ("`Assets` is ignored: write `assets`.",)),
        (b"steps: []", ("There are no steps: nothing will run.",)),
        (b"steps:", ("There are no steps: nothing will run.",)),
        (b"{}", ("There are no steps: nothing will run.",)),
        (b"steps: {command: a}", ("`steps` is a mapping, of which nothing will run: make it a list.",)),
        (b"steps: [echo]",
         ("Step 1 is a text, of which nothing will run: make it a mapping with a `command`.",)),
        (b"steps: [{plugin: shell}]",
         ("Step 1 may not run: the plugin 'shell' is not known. Did you mean Shell?",)),
        (b"steps: [{command: a}, {plugin: Drupel}]",
         ("Step 2 may not run: the plugin 'Drupel' is not known. Did you mean Drupal?",)),
        (b"steps: [{plugin: Zzz}]", ("Step 1 may not run: the plugin 'Zzz' is not known.",)),
        (b"steps: [{plugin: [Shell]}]",
         ("Step 1 may not run: the plugin \"['Shell']\" is not known. Did you mean Shell?",)),
        (b"steps: [{command: a}]\nextra: 1", ()),
    ],
)  # fmt: skip
def test_what_is_taken_but_does_nothing_is_warned_of(content: bytes, warnings: tuple[str, ...]) -> None:
    assert read(content, ".probo.yaml").warnings == warnings


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    assert read(b"\xef\xbb\xbfsteps: []", ".probo.yaml").document == {"steps": []}


def test_missing_names_every_spelling_that_was_looked_for() -> None:
    assert missing(SPELLINGS).advice == (
        "This commit has no .probo.yaml (nor .probo.yml, probo.yaml, probo.yml, .proviso.yaml, .proviso.yml, "
        "proviso.yaml, proviso.yml). Add a .probo.yaml with the steps of the build and push again."
    )


@given(st.binary(max_size=200) | st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join))
@example(b'"\\UFFFFFFFF"')
@example(b"*\xef\xbb\xbf")
@example(b"%YAML 1." + b"1" * 5000)
@example(b"? [a, *a, &a {a: 9999-99-99}]")
def test_any_content_gives_a_configuration_or_advice(content: bytes) -> None:
    try:
        configuration = read(content, ".probo.yaml")
    except ConfigurationError as error:
        assert 0 < len(error.advice) <= LONGEST_ADVICE
        assert error.advice.isprintable()
    else:
        written = json.dumps(configuration.document, allow_nan=False, ensure_ascii=False)
        assert "\\u0000" not in written
        assert written.encode()


@pytest.mark.parametrize(
    ("steps", "count"),
    [
        ([{"name": "A"}, {"name": "B", "plugin": "Drupal"}], 2),
        ([{"name": "A"}, {"name": "A", "plugin": "Shell"}, {"name": "A", "plugin": "Script"}], 2),  # one context
        ([{"name": "A", "plugin": "NoSuchPlugin"}, "make"], 0),
        ({"name": "A"}, 0),
        (None, 0),
    ],
)
def test_the_steps_are_counted_that_the_container_manager_will_tell_of(steps: object, count: int) -> None:
    assert steps_that_run({"steps": steps}) == count
