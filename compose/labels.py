"""The labels that Docker Compose puts on containers, volumes and networks, and so do we."""

from __future__ import annotations

PREFIX = "com.docker.compose."
# Before the labels with that prefix that a client of the API gives a container: what goes by them here is its own.
GIVEN = "pycompose.given."

PROJECT = f"{PREFIX}project"
SERVICE = f"{PREFIX}service"
NUMBER = f"{PREFIX}container-number"
CONFIG_HASH = f"{PREFIX}config-hash"
ONEOFF = f"{PREFIX}oneoff"
HOOK = f"{PREFIX}hook"
ENGINE = f"{PREFIX}engine"
DEPENDS_ON = f"{PREFIX}depends_on"
IMAGE = f"{PREFIX}image"
REPLACE = f"{PREFIX}replace"
WORKING_DIR = f"{PREFIX}project.working_dir"
CONFIG_FILES = f"{PREFIX}project.config_files"
ENVIRONMENT_FILE = f"{PREFIX}project.environment_file"
VERSION = f"{PREFIX}version"
NETWORK = f"{PREFIX}network"
VOLUME = f"{PREFIX}volume"
