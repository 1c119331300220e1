"""``python -m benchmarks SUITE``: measure and print."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from benchmarks import (
    a2a,
    a2a_report,
    ace,
    admission,
    failover,
    fault_soak,
    gateway,
    gateway_soak,
    openenv,
    openenv_report,
    openenv_soak,
    playbook_world,
    report,
)

RESULTS = Path(__file__).parent / "results"
REPORTS: Mapping[str, ModuleType] = {"openenv": openenv_report, "a2a": a2a_report}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    suites = parser.add_subparsers(dest="suite", required=True)
    suite = suites.add_parser("gateway", help="overhead of the LLM gateway")
    suite.add_argument("--target", action="append", default=[], help="only this one; repeatable")
    suite.add_argument(
        "--soak",
        type=int,
        nargs="?",
        const=gateway_soak.REQUESTS,
        metavar="REQUESTS",
        help="instead: does memory grow, and what do 1000 streams take?",
    )
    suite.add_argument(
        "--faults", type=float, metavar="SECONDS", help="instead: is anything kept of faults?"
    )
    _shared(suite)
    suite = suites.add_parser("openenv", help="steps of environments, beside upstream's package")
    suite.add_argument("--soak", type=int, metavar="STEPS", help="instead: does memory grow?")
    suite.add_argument(
        "--upstream", type=Path, default=openenv.PEERS, help="a Python that has openenv"
    )
    _shared(suite)
    _shared(suites.add_parser("a2a", help="tasks, beside the official SDK's server"))
    suite = suites.add_parser("admission", help="interactive calls beside bulk on a real server")
    _shared(suite)
    suites.add_parser("failover", help="what a provider's failure costs the caller")
    suite = suites.add_parser("ace", help="reads, replay and evolution of playbooks")
    suite.add_argument("--quick", action="store_true", help="a tenth of everything")
    suite = suites.add_parser("playbooks", help="what the gate is worth, simulated")
    suite.add_argument("--quick", action="store_true", help="one seed and fewer steps")
    given = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args(given or ["gateway"])
    if getattr(options, "soak", None):
        soak = openenv_soak.run if options.suite == "openenv" else gateway_soak.main
        return soak(options.soak)
    if getattr(options, "faults", None):
        return fault_soak.run(options.faults)
    if options.suite == "ace":
        ace.run(quick=options.quick)
        return 0
    if options.suite == "playbooks":
        playbook_world.run(quick=options.quick)
        return 0
    if options.suite == "failover":
        failover.run()
        return 0
    if options.suite == "admission":
        return _admission(options)
    return _beside_peers(options)


def _beside_peers(options: argparse.Namespace) -> int:
    seconds, rounds = (0.5, 1) if options.quick else (options.seconds, options.rounds)
    kind = REPORTS.get(options.suite, report)
    if options.suite == "openenv":
        measured = openenv.run(seconds=seconds, rounds=rounds, peers=options.upstream)
    elif options.suite == "a2a":
        measured = a2a.run(seconds=seconds, rounds=rounds)
    else:
        measured = gateway.run(gateway.chosen(options.target), seconds=seconds, rounds=rounds)
    path = report.save(measured, options.results, options.suite)
    kind.plot(measured, path.with_suffix(".png"))
    print(kind.table(measured))
    print(f"\n{path}\n{path.with_suffix('.png')}")
    return 0


def _admission(options: argparse.Namespace) -> int:
    measured = admission.run(1 if options.quick else options.rounds)
    path = report.save(measured, options.results, options.suite)
    print("\n".join(["", *admission.verdicts(measured), "", str(path)]))
    return 0


def _shared(suite: argparse.ArgumentParser) -> None:
    suite.add_argument("--quick", action="store_true", help="a short run: is everything alive?")
    suite.add_argument("--seconds", type=float, default=3.0, help="per scenario and target")
    suite.add_argument("--rounds", type=int, default=3, help="of all scenarios and targets")
    suite.add_argument("--results", type=Path, default=RESULTS, help="folder for JSON and picture")


if __name__ == "__main__":
    raise SystemExit(main())
