import subprocess
import sys


def test_one_process_of_two_threads_and_two_of_one_give_equal_bytes(tmp_path, monkeypatch):
    """All columns of the default table; a process of two threads takes other sums, where nothing keeps it from that."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    rows = []
    for workers in ("1", "2"):
        run = tmp_path / workers
        subprocess.run(
            [
                sys.executable,
                "-m",
                "srbench",
                "run",
                "--models",
                "bicubic,esrgan,srflow",
                "--scale",
                "4",
                "--samples",
                "2",
                "--limit",
                "2",
                "--crop",
                "172",
                "--device",
                "cpu",
                "--workers",
                workers,
                "--out",
                run,
            ],
            check=True,
            capture_output=True,
        )
        rows.append((run / "report" / "rows.csv").read_text())
    assert rows[0] == rows[1]
    columns = {line.split(",")[4] for line in rows[0].splitlines()[1:]}
    assert columns == {"psnr", "ssim", "lpips", "lr_psnr", "niqe", "brisque", "pique", "sigma"}
