"""Each direction contract refuses a planted violation, on a copy of the package as it is now."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # half a second for each start of the linter

ROOT = Path(__file__).parents[2]

# (contract, the files of the violation): each breaks the contract's own sentence.
VIOLATIONS: list[tuple[str, dict[str, str]]] = [
    ("flow", {"kernel/planted.py": "import decent_cloud.wire"}),
    ("flow", {"wire/planted.py": "import decent_cloud.domain.planted", "domain/planted.py": ""}),
    ("flow", {"utils/__init__.py": "", "utils/planted.py": ""}),
    ("flow", {"cli/planted.py": "import decent_cloud.agent.planted", "agent/planted.py": ""}),
    ("nouns", {"domain/identity/planted.py": "import decent_cloud.domain.ledger.planted",
               "domain/ledger/planted.py": ""}),
    ("nouns", {"domain/ledger/planted.py": "import decent_cloud.domain.catalog.planted",
               "domain/catalog/planted.py": ""}),
    ("nouns", {"domain/billing/__init__.py": ""}),
    ("pure", {"domain/ledger/planted.py": "import sqlalchemy"}),
    ("pure", {"app/planted.py": "import decent_cloud.kernel.planted", "kernel/planted.py": "import asyncio"}),
    ("codec", {"app/planted.py": "import msgspec"}),
    ("provider side", {"agent/planted.py": "import decent_cloud.app.planted", "app/planted.py": ""}),
    ("provider side", {"client/planted.py": "import decent_cloud.domain.ledger.planted",
                       "domain/ledger/planted.py": ""}),
    ("server side", {"http/planted.py": "import decent_cloud.drivers.planted", "drivers/planted.py": ""}),
    ("server side", {"jobs/planted.py": "import decent_cloud.client.planted", "client/planted.py": ""}),
    ("siblings apart: adapters", {"adapters/sql/planted.py": "import decent_cloud.adapters.memory.planted",
                                  "adapters/memory/planted.py": ""}),
    ("siblings apart: channels, prices, processors",
     {"adapters/processors/one.py": "import decent_cloud.adapters.processors.two",
      "adapters/processors/two.py": ""}),
    ("siblings apart: drivers", {"drivers/docker/planted.py": "import decent_cloud.drivers.fake.planted",
                                 "drivers/fake/planted.py": ""}),
    ("siblings apart: drivers", {"drivers/parts/planted.py": "import decent_cloud.drivers.fake.planted",
                                 "drivers/fake/planted.py": ""}),
    ("siblings apart: drivers", {"drivers/cloud/__init__.py": ""}),
    ("wiring", {"http/planted.py": "import decent_cloud.adapters.sql.planted", "adapters/sql/planted.py": ""}),
    ("wiring", {"prober/planted.py": "import decent_cloud.adapters.sql.planted",
                "adapters/sql/planted.py": ""}),
    ("no cycles", {"app/one.py": "import decent_cloud.app.two", "app/two.py": "import decent_cloud.app.one"}),
    ("no cycles", {"domain/ledger/planted.py": "import decent_cloud.domain.contracts.planted",
                   "domain/contracts/planted.py": "import decent_cloud.domain.ledger.planted"}),
]  # fmt: skip

# What the contracts leave open on purpose.
PERMITTED: list[dict[str, str]] = [
    {"agent/planted.py": "import decent_cloud.domain.keys.planted", "domain/keys/planted.py": ""},
    {"prober/planted.py": "import decent_cloud.adapters.reach.planted", "adapters/reach/planted.py": ""},
    {"drivers/docker/planted.py": "import decent_cloud.drivers.parts.planted", "drivers/parts/planted.py": ""},
    {"programs/planted.py": "import decent_cloud.adapters.sql.planted", "adapters/sql/planted.py": ""},
    {"web/planted.py": "import decent_cloud.app.planted", "app/planted.py": ""},
]  # fmt: skip


class Copy:
    """A copy of the package that takes a violation and gives it back."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.package = root / "src/decent_cloud"
        shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / ".importlinter", root)

    def verdicts_with(self, files: dict[str, str]) -> dict[str, str]:
        """Run the gate with these files added and return KEPT or BROKEN by contract."""
        made = self._plant(files)
        try:
            return self._verdicts()
        finally:
            for path in made:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _plant(self, files: dict[str, str]) -> list[Path]:
        made: list[Path] = []
        for place, text in files.items():
            path = self.package / place
            for folder in reversed(path.relative_to(self.package).parents[:-1]):
                if not (self.package / folder / "__init__.py").exists():
                    (self.package / folder).mkdir(exist_ok=True)
                    (self.package / folder / "__init__.py").touch()
                    made.append(self.package / folder)
            path.write_text(text)
            made.append(path)
        return made[::-1]

    def _verdicts(self) -> dict[str, str]:
        done = subprocess.run(
            [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--cache-dir", "cache"],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(self.root / "src"), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )
        verdicts = dict(re.findall(r"^(.+?) (KEPT|BROKEN)\b", done.stdout, flags=re.MULTILINE))
        assert verdicts, done.stdout + done.stderr
        return verdicts


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("package"))


def _name(value: object) -> str | None:
    return "+".join(value) if isinstance(value, dict) else None


@pytest.mark.parametrize(("contract", "files"), VIOLATIONS, ids=_name)
def test_a_contract_refuses_the_violation(contract: str, files: dict[str, str], copy: Copy) -> None:
    assert copy.verdicts_with(files)[contract] == "BROKEN"


@pytest.mark.parametrize("files", PERMITTED, ids=_name)
def test_the_contracts_allow_what_they_mean_to(files: dict[str, str], copy: Copy) -> None:
    assert set(copy.verdicts_with(files).values()) == {"KEPT"}


def test_the_package_as_it_is_keeps_every_contract_that_is_proven_to_bite(copy: Copy) -> None:
    verdicts = copy.verdicts_with({})
    assert set(verdicts.values()) == {"KEPT"}, verdicts
    assert verdicts.keys() == {contract for contract, _ in VIOLATIONS}
