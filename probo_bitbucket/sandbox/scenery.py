"""What is on the stage when the sandbox begins: a site with a realistic `.probo.yaml`, and a change to it."""

from __future__ import annotations

REPOSITORY = "acme/site"
NAME = "Acme's Site"

# Of the webhook, besides those of pull requests: it is what `probo-bitbucket hooks add` would make.
OTHER_EVENTS = ("pullrequest:comment_created", "repo:push", "repo:commit_status_created")

CONFIGURATION = b"""\
# What Probo does for every pull request.
image: proboci/ubuntu-18.04-lamp
assets:
  - site.sql.gz
steps:
  - name: Install the packages
    command: composer install --no-interaction --prefer-dist
  - name: Import the database
    plugin: LAMPApp
    database: site.sql.gz
    databaseGzipped: true
  - name: Run the tests
    plugin: Script
    script:
      - cd $SRC_DIR
      - vendor/bin/phpunit --colors=never
  - name: Look at the front page
    command: curl --fail --silent http://localhost/
"""
FILES = {
    ".probo.yaml": CONFIGURATION,
    "composer.json": b'{"name": "acme/site", "require-dev": {"phpunit/phpunit": "^12"}}\n',
    "index.php": b"<h1>Welcome</h1>\n",
}

TITLE = "Welcome visitors by the time of day"
BRANCH = "feature/welcome"
CHANGE = {"index.php": b'<h1><?= date("G") < 12 ? "Good morning" : "Welcome" ?></h1>\n'}
