"""Reads dashboards with Grafana's SDK and writes them again: a field that it loses does not exist."""

import json
import sys

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

plugins.register_default_plugins()
lost = []


def compare(before, after, path):
    if isinstance(before, dict):
        for key, value in before.items():
            if key not in (after or {}):
                if value is not None:
                    lost.append(f"{path}/{key}")
            else:
                compare(value, after[key], f"{path}/{key}")
    elif isinstance(before, list):
        if len(before) != len(after or []):
            lost.append(path)
        for index, (one, other) in enumerate(zip(before, after or [])):
            compare(one, other, f"{path}/{index}")
    elif before != after:
        lost.append(path)


for name in sys.argv[1:]:
    with open(name, encoding="utf-8") as file:
        before = json.load(file)
    after = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(before)))
    compare(before, after, name)
if lost:
    sys.exit("unknown fields: " + " ".join(lost))
