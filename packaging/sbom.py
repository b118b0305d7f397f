"""Writes the bill of materials of a release (CycloneDX 1.6): `python packaging/sbom.py ENVIRONMENT OUTPUT`.

ENVIRONMENT is the Python of an environment in which the wheels are installed, OUTPUT a file. Needs `cyclonedx-bom`.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MAIN = "understudy-server"
INSTALLERS = ("pip", "setuptools", "wheel")
"""Put into an environment by whatever made it."""
LICENCES = {"protobuf": "BSD-3-Clause"}
"""Licences of packages whose metadata name them in words that are no SPDX expression."""
WITHIN_S = 300


def packages_of_python(python: Path) -> dict[str, Any]:
    """Return the bill of an environment, without what installs packages, and without addresses of this machine.

    Raises ValueError if the product is not in the environment, or a package in it declares no licence.
    """
    command = [
        sys.executable,
        "-m",
        "cyclonedx_py",
        "environment",
        "--output-reproducible",
        "--of",
        "JSON",
        "--sv",
        "1.6",
    ]
    done = subprocess.run(  # noqa: S603
        [*command, str(python)], check=True, capture_output=True, text=True, timeout=WITHIN_S
    )
    bill: dict[str, Any] = json.loads(done.stdout)
    components = [each for each in bill.get("components", []) if each["name"] not in INSTALLERS]
    for component in components:
        if component["name"] in LICENCES and not component.get("licenses"):
            component["licenses"] = [{"expression": LICENCES[component["name"]]}]
        links = [link for link in component.get("externalReferences", []) if not link["url"].startswith("file:")]
        component.pop("externalReferences", None)
        if links:
            component["externalReferences"] = links
        component.setdefault("purl", f"pkg:pypi/{component['name'].lower().replace('_', '-')}@{component['version']}")
    if missing := [component["name"] for component in components if not component.get("licenses")]:
        raise ValueError(f"no licence is declared by {', '.join(missing)}: look it up, and add it to LICENCES")
    main = [component for component in components if component["name"] == MAIN]
    if not main:
        raise ValueError(f"{MAIN} is not installed for {python}")
    bill["metadata"]["component"] = main[0] | {"type": "application"}
    bill["components"] = [component for component in components if component is not main[0]]
    known = {component["bom-ref"] for component in components}
    bill["dependencies"] = [
        each | ({"dependsOn": [ref for ref in each["dependsOn"] if ref in known]} if "dependsOn" in each else {})
        for each in bill["dependencies"]
        if each["ref"] in known
    ]
    return bill


def packages_of_npm(lock: Path) -> list[dict[str, Any]]:
    """Return what a lock file names. Nothing of it is in the wheel: it bundles the page, whose scripts are our own."""
    found: dict[str, dict[str, Any]] = {}
    for path, package in json.loads(lock.read_text())["packages"].items():
        if not path:
            continue  # the package itself
        name, version = path.rpartition("node_modules/")[2], package["version"]
        purl = f"pkg:npm/{name.replace('@', '%40')}@{version}"
        found[purl] = {  # once, in however many folders it lies
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "purl": purl,
            "scope": "excluded",
            "licenses": [{"expression": package["license"]}],
        }
    return list(found.values())


def make_bill(python: Path) -> str:
    """Return the bill of the environment and of the page's bundler, as JSON."""
    bill = packages_of_python(python)
    bill["components"] += packages_of_npm(ROOT / "packaging" / "page" / "package-lock.json")
    return json.dumps(bill, indent=2, sort_keys=True) + "\n"


def main(python: Path, output: Path) -> None:
    """Write the bill to `output`, or say why there is none and exit with 1."""
    try:
        text = make_bill(python)
    except (ValueError, subprocess.CalledProcessError) as error:
        sys.exit(str(getattr(error, "stderr", None) or error).strip())
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
