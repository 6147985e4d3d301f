# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests what `meson dist` packs: the files of the repository, which are enough for a build, and nothing else."""

import os
import tarfile
import tempfile
import unittest
from pathlib import Path

from support import BARE, MESON, SOURCE, run

# Git refuses a checkout that belongs to another user, which is the case in containers.
os.environ.update(GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="safe.directory", GIT_CONFIG_VALUE_0="*")

FOR_DEVELOPERS = (".ci/", ".github/", ".gitlab-ci.yml", ".gitattributes", ".gitignore")


class Dist(unittest.TestCase):
    def test_dist(self):
        with tempfile.TemporaryDirectory(prefix="tcp-tunnel-dist-") as place:
            build = Path(place) / "build"
            run(MESON, "setup", build, SOURCE, *BARE)
            run(MESON, "dist", "-C", build, "--no-tests", "--allow-dirty", "--formats", "gztar")
            [tarball] = (build / "meson-dist").glob("*.tar.gz")
            with tarfile.open(tarball) as archive:
                names = {member.name for member in archive if not member.isdir()}
                archive.extractall(place)

            root = tarball.name[: -len(".tar.gz")]
            committed = set(run("git", "ls-tree", "-r", "-z", "--name-only", "HEAD", cwd=SOURCE).split("\0")) - {""}
            self.assertEqual(names, {f"{root}/{name}" for name in committed if not name.startswith(FOR_DEVELOPERS)})
            # Meson fails if a file that the build definition names is missing.
            run(MESON, "setup", Path(place) / "again", Path(place) / root)


unittest.main(verbosity=2)
