"""What `hotseat doctor` prints."""

import json
from collections.abc import Iterable
from dataclasses import asdict

from agent_runtime.commands.options import printable
from agent_runtime.first_look.doctor import REPORT_FORMAT, REPORT_VERSION
from agent_runtime.first_look.findings import Finding, Verdict


def print_findings(findings: Iterable[Finding], as_json: bool) -> bool:
    """Print each finding as it comes; return whether nothing failed."""
    worst, told = Verdict.OK, []
    for finding in findings:
        worst = max(worst, finding.verdict, key=list(Verdict).index)
        if as_json:
            told.append(asdict(finding))
        else:
            print(printable(f"{finding.verdict:<5} {finding.name:<9} {finding.sentence}"), flush=True)
    if as_json:
        report = {"format": REPORT_FORMAT, "version": REPORT_VERSION, "verdict": worst, "findings": told}
        print(json.dumps(report, indent=1))
    return worst is not Verdict.FAIL
