#!/usr/bin/env python3
"""Writes deploy/watch/prometheusrule.yaml: the rules of the file beside it, as Prometheus's operator wants them."""

from pathlib import Path

WATCH = Path(__file__).resolve().parents[2] / "deploy/watch"
HEAD = """\
# rules.yaml for Prometheus's operator: what is below `spec` is that file. Change it there, and write it here again with
# e2e/deploy/wrap.py.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: mandate
spec:
"""


def wrapped() -> str:
    lines = (WATCH / "rules.yaml").read_text().splitlines(keepends=True)
    return HEAD + "".join(f"  {line}" if line.strip() else line for line in lines)


if __name__ == "__main__":
    (WATCH / "prometheusrule.yaml").write_text(wrapped())
