"""The same means, whatever the number of processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from metrics import ddp_worker

ROOT = Path(__file__).parents[2]


@pytest.mark.filterwarnings("ignore:constant predictions", "ignore:.*skipped 1 image")
def test_one_two_and_three_processes_agree(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, ddp_worker.__file__, str(tmp_path)]
    running = [subprocess.Popen([*command, str(rank)], env=environment) for rank in range(3)]
    try:
        for process in reversed(running):  # the last joins late and leaves early: its failure leaves the others waiting
            assert process.wait(timeout=120) == 0
    finally:
        for process in running:
            process.kill()
            process.wait()
    reports = [json.loads(p.read_text()) for p in sorted(tmp_path.glob("*.json"))]
    assert [r["world"] for r in reports] == [1, 2, 2, 3, 3, 3]
    assert len({os.getpid(), *(r["pid"] for r in reports)}) == 4
    for count in ddp_worker.IMAGES:
        expected = ddp_worker.evaluate(count)
        assert expected["count"] == count - 1
        assert expected["skipped"] == 1
        for report in reports:
            assert report["results"][str(count)] == pytest.approx(expected, rel=0, abs=1e-12)
